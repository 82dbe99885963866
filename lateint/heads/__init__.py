"""Heads: what runs with the query. One module a name."""
