"""Encoder families: one adapter per file, named after the `model_type` of transformers."""
