"""Kernels: plain Python over numpy arrays that numba compiles on first use. Uncompiled, each is its own reference."""
