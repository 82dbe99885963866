"""Ranking candidates."""
