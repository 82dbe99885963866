"""Encoder families: one adapter a file, named after the `model_type` of transformers."""
