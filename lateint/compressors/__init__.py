"""Compressors: learned maps from width h to stored width c. One module a name."""
