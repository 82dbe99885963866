"""Data sets that come with the evaluation."""
