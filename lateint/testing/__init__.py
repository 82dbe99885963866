"""Tiny checkpoints and contract checks of parts, for the tests of your own parts."""
