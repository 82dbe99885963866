"""Tiny checkpoints and contracts of parts, for tests of your own."""
