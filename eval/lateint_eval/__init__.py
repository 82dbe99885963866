"""Evaluation: formats, measures, MS MARCO semantics, significance tests, audit, gain. Heavy packages are imported on use."""
