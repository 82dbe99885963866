"""Encoding documents into a store."""
