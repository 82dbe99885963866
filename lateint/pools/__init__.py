"""Pools: which token vectors of a text survive. One module a name."""
