"""Compressors: learned maps from width h to stored width c. One module per name; the contracts are in `base`."""
