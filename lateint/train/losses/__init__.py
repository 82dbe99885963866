"""Losses over the scores of a list of candidates: one module a name."""
