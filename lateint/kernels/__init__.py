"""Kernels: plain Python over numpy arrays, compiled by numba on first use. Tests compare it with the uncompiled function."""
