"""Data sets: ranking folders, training sources, BM25, and the demo corpus."""
