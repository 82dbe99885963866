"""Evaluation: formats, measures, MS MARCO semantics, significance, audit, gain. Heavy imports wait."""
