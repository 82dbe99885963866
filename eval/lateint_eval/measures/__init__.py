"""Measures, their order of ties, intervals and tests; official scripts and gains."""
