"""Numerics behind the codecs: bit packing, the Hadamard transform, Lloyd-Max levels."""
