"""Checking and encoding entries, committing windows, rewriting shards."""
