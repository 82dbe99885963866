"""Kernels: plain Python over numpy arrays, compiled by numba on first use. Uncompiled, a kernel is its own reference."""
