"""Fetch documents by id, scan a store, find damage."""
