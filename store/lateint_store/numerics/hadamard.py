"""The randomised Walsh-Hadamard transform: a rotation that makes any block of numbers look like Gaussian noise.

Additions and subtractions run in a fixed order: the same bits on every machine, with any number of threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from lateint_store.spec import Array

_COLUMNS_AT_ONCE = 1000
"""Columns transformed at a time: few enough for the cache, and no power of two, whose rows would collide in the cache."""


@cache
def signs(seed: int, size: int) -> npt.NDArray[np.int8]:
    """The random signs of a seed, +1 or -1: int8 [size], read-only; `size` is a multiple of 8.

    Sign i is negative if bit i (lowest first) of SHAKE-256 of `lateint drive <seed>` is 1.
    """
    stream = hashlib.shake_256(f"lateint drive {seed}".encode()).digest(size // 8)
    negative = np.unpackbits(np.frombuffer(stream, np.uint8), bitorder="little").astype(np.int8)
    drawn: npt.NDArray[np.int8] = 1 - 2 * negative
    drawn.setflags(write=False)
    return drawn


def hadamard(x: Array) -> Array:
    """H x, with the Hadamard matrix H of +1 and -1 in natural order, H H = k: float [k, n] -> [k, n], k a power of two.

    May overwrite `x`. Cost: n k log2(k) additions.

    >>> hadamard(np.array([[1.0], [2.0], [3.0], [4.0]]))[:, 0].tolist()
    [10.0, -2.0, -4.0, 0.0]
    """
    x = np.ascontiguousarray(x)
    size, spare, half = len(x), np.empty_like(x), 1
    while half < size:
        before, after = (memory.reshape(size // (2 * half), 2, half * x.shape[1]) for memory in (x, spare))
        np.add(before[:, 0], before[:, 1], out=after[:, 0])
        np.subtract(before[:, 0], before[:, 1], out=after[:, 1])
        x, spare, half = spare, x, 2 * half
    return x


def pieces(columns: int) -> Iterator[slice]:
    """Cut many columns into slices that are transformed within the cache."""
    return (slice(start, start + _COLUMNS_AT_ONCE) for start in range(0, columns, _COLUMNS_AT_ONCE))


def total(x: Array) -> Array:
    """Sum over the first axis, always in the same order: [k, n] -> [n], k a power of two."""
    while len(x) > 1:
        x = x[: len(x) // 2] + x[len(x) // 2 :]
    summed: Array = x[0]
    return summed
