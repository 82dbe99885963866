"""The encoding kernel of `drive`: rotate and quantise blocks of 128 numbers, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lateint_store.kernels.blocks import BLOCK
from lateint_store.kernels.compiled import compiled
from lateint_store.numerics.lloyd_max import Floats
from lateint_store.spec import Array


def quantised_blocks(
    numbers: Array, diagonal: Array, borders: Array, levels: Array, unbiased: bool
) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Packed codes uint8 [k, 16 bits] and scales float64 [k] of the k blocks of one document, as `drive` defines them.

    Args: `numbers` [m], floats; `diagonal` float64 [128], signs; `borders` [2**bits - 1] between `levels` [2**bits];
    `unbiased`: use that scale, not the norm.
    """
    blocks, bits = -(-len(numbers) // BLOCK), len(levels).bit_length() - 1
    packed, scales = np.empty((blocks, BLOCK // 8 * bits), np.uint8), np.empty(blocks)
    tables = np.concatenate([borders, [np.inf]]), np.asarray(levels)
    compiled(quantise_all)(numbers.astype(np.float64), diagonal, np.stack(tables), unbiased, packed, scales)
    return packed, scales


def quantise_all(numbers: Any, diagonal: Any, tables: Any, unbiased: Any, packed: Any, scales: Any) -> None:
    """Fill `packed` and `scales`. `tables` [2, 2**bits]: the borders, padded with infinity, and the levels."""
    x, spare, codes = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK, np.int64)
    for block in range(len(packed)):
        begin = BLOCK * block
        count = min(BLOCK, len(numbers) - begin)
        x[:] = 0.0
        for place in range(count):
            x[place] = numbers[begin + place] * diagonal[place]
        rotate(x, spare)
        for place in range(BLOCK):
            spare[place] = x[place] * x[place]
        squares = halving_sum(spare)
        length = np.sqrt(squares / BLOCK)
        for place in range(BLOCK):
            spare[place] = x[place] / (length if length > 0 else 1.0)
        nearest(spare, tables[0], codes)
        scales[block] = length
        if tables.shape[1] == 2:
            for place in range(BLOCK):
                spare[place] = abs(x[place])
            sums = halving_sum(spare)
            scales[block] = squares / (sums if sums > 0 else 1.0) if unbiased else sums / BLOCK
        elif unbiased:
            for place in range(BLOCK):
                spare[place] = tables[1, codes[place]] * tables[1, codes[place]]
            scales[block] = length * BLOCK / halving_sum(spare)
        pack(codes, packed[block])


def rotate(x: Any, spare: Any) -> None:
    """Replace x by H x / sqrt(128)."""
    for step in range(7):
        half = 1 << step
        before, after = (x, spare) if step % 2 == 0 else (spare, x)
        for start in range(0, BLOCK, 2 * half):
            for place in range(start, start + half):
                after[place] = before[place] + before[place + half]
                after[place + half] = before[place] - before[place + half]
    for place in range(BLOCK):
        x[place] = spare[place] / np.sqrt(128.0)


def halving_sum(x: Any) -> Any:
    """The sum of 128 numbers, added in the order of `hadamard.total`; overwrites `x`."""
    half = BLOCK // 2
    while half > 0:
        for place in range(half):
            x[place] += x[place + half]
        half //= 2
    return x[0]


def nearest(x: Any, borders: Any, codes: Any) -> None:
    """Fill `codes` with the number of borders <= each number: 128 binary searches in step, without branches."""
    step = len(borders) // 2
    for place in range(BLOCK):
        codes[place] = 0
    while step > 0:
        for place in range(BLOCK):
            codes[place] += step * np.int64(borders[codes[place] + step - 1] <= x[place])
        step //= 2


def pack(codes: Any, out: Any) -> None:
    """Pack 128 codes into the bytes `out`, lowest bit first."""
    bits, word, held, byte = len(out) // 16, 0, 0, 0
    for place in range(BLOCK):
        word |= codes[place] << held
        held += bits
        while held >= 8:
            out[byte] = word & 255
            byte += 1
            word >>= 8
            held -= 8
