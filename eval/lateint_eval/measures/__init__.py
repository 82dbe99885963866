"""Measures, the tie rule, intervals and significance tests; the official MS MARCO script; gain."""
