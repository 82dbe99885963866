"""Evaluation: formats, measures, significance, reports."""
