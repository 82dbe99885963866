"""Whole numbers of a few bits each, in a stream a document, lowest bit first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lateint_store.kernels.compiled import compiled
from lateint_store.spec import Array

WIDEST = 56
"""Bits of a number that, begun anywhere in a byte, still fits into a word of 64."""


def read_streams(data: npt.NDArray[np.uint8], bits: int, sizes: npt.NDArray[np.int64], dtype: str) -> Array:
    """Numbers of up to 56 bits of many documents, each of which begins with a byte of its own: [sum(sizes)] of `dtype`.

    Args: `sizes` int64 [n], numbers of each document; `data` holds ceil(size bits / 8) bytes for each.
    """
    out = np.empty(int(sizes.sum()), dtype)
    compiled(read_all)(data, bits, sizes, out)
    return out


def write_stream(numbers: Array, bits: int) -> npt.NDArray[np.uint8]:
    """The bytes of one document: whole numbers [k] below 2**bits, `bits` up to 56 -> [ceil(k bits / 8)]."""
    out = np.empty(-(-len(numbers) * bits // 8), np.uint8)
    compiled(write_all)(numbers, bits, out)
    return out


def read_all(data: Any, bits: Any, sizes: Any, out: Any) -> None:
    """Fill `out`, document by document."""
    mask = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    byte, at = 0, 0
    for document in range(len(sizes)):
        word, held = np.uint64(0), 0
        for place in range(at, at + sizes[document]):
            while held < bits:
                word |= np.uint64(data[byte]) << np.uint64(held)
                byte += 1
                held += 8
            out[place] = word & mask
            word >>= np.uint64(bits)
            held -= bits
        at += sizes[document]


def write_all(numbers: Any, bits: Any, out: Any) -> None:
    """Fill `out`; the bits behind the last number are zeros."""
    word, held, byte = np.uint64(0), 0, 0
    for place in range(len(numbers)):
        word |= np.uint64(numbers[place]) << np.uint64(held)
        held += bits
        while held >= 8:
            out[byte] = np.uint8(word & np.uint64(255))
            byte += 1
            word >>= np.uint64(8)
            held -= 8
    if held > 0:
        out[byte] = np.uint8(word & np.uint64(255))
