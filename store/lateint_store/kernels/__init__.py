"""Kernels: plain Python loops over numpy arrays, compiled by numba on first use. Tests also run them uncompiled."""
