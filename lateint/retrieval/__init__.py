"""Nearest documents by their vectors."""
