"""Unsigned integers of a few bits each, packed into one bit stream per document, lowest bit first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lateint_store.kernels.compiled import compiled
from lateint_store.spec import Array

WIDEST = 56
"""Most bits of a number: it may start at any bit of a byte and must still fit in a 64-bit word."""


def read_streams(data: npt.NDArray[np.uint8], bits: int, sizes: npt.NDArray[np.int64], dtype: str) -> Array:
    """Unpack the numbers, `bits` <= 56 each, of many documents: [sum(sizes)] of `dtype`.

    Args: `sizes` int64 [n], numbers of each document; `data` uint8, ceil(size * bits / 8) bytes per document, each
    document on a byte boundary.
    """
    out = np.empty(int(sizes.sum()), dtype)
    compiled(read_all)(data, bits, sizes, out)
    return out


def write_stream(numbers: Array, bits: int) -> npt.NDArray[np.uint8]:
    """Pack one document: integers [k] below 2**bits, `bits` <= 56 -> uint8 [ceil(k * bits / 8)]."""
    out = np.empty(-(-len(numbers) * bits // 8), np.uint8)
    compiled(write_all)(numbers, bits, out)
    return out


def read_all(data: Any, bits: Any, sizes: Any, out: Any) -> None:
    """Fill `out`, document by document."""
    mask = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    byte, start = 0, 0
    for document in range(len(sizes)):
        word, held = np.uint64(0), 0
        for i in range(start, start + sizes[document]):
            while held < bits:
                word |= np.uint64(data[byte]) << np.uint64(held)
                byte += 1
                held += 8
            out[i] = word & mask
            word >>= np.uint64(bits)
            held -= bits
        start += sizes[document]


def write_all(numbers: Any, bits: Any, out: Any) -> None:
    """Fill `out`; the bits after the last number are zero."""
    word, held, byte = np.uint64(0), 0, 0
    for i in range(len(numbers)):
        word |= np.uint64(numbers[i]) << np.uint64(held)
        held += bits
        while held >= 8:
            out[byte] = np.uint8(word & np.uint64(255))
            byte += 1
            word >>= np.uint64(8)
            held -= 8
    if held > 0:
        out[byte] = np.uint8(word & np.uint64(255))
