"""Rotated blocks of 128 numbers, from their stored bytes to numbers: one block after the other, without leaving the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lateint_store.kernels.compiled import compiled
from lateint_store.numerics.hadamard import hadamard
from lateint_store.spec import Array

BLOCK = 128
TILE = 8  # blocks looked up together, so that what was written has reached the cache when it is read as whole registers
WHOLE = {1: 8, 2: 4, 4: 2}  # codes of a byte, where a byte holds whole ones; otherwise two codes are looked up together


def first_turns(levels: Array) -> npt.NDArray[np.uint64]:
    """What the first steps of the transform make of all codes that are looked up together, two float32 in a word.

    Args: `levels` [2**bits], the numbers that codes stand for. Returns: [entries, words], an entry for 1 byte, or for 2 codes.
    """
    bits = len(levels).bit_length() - 1
    together = WHOLE.get(bits, 2)
    codes = np.arange(1 << bits * together) >> (bits * np.arange(together)[:, None]) & ((1 << bits) - 1)
    return np.ascontiguousarray(hadamard(levels.astype(np.float32)[codes]).T).view(np.uint64)


def decoded_blocks(stored: Array, factors: Array, table: Array, diagonal: Array, sizes: Array) -> npt.NDArray[np.float32]:
    """S H c times a factor, without the filling of documents: what `drive` decodes, in the same order of operations.

    Args: `stored` uint8 [k, bytes], codes and scale of k blocks; `factors` float32 [k]; `table` of `first_turns`; `diagonal`
    float32 [128]; `sizes` int64 [n], numbers of each document, which begins with a block of its own. Returns: [sum(sizes)].
    """
    ends = np.cumsum(sizes)
    out = np.empty(int(sizes.sum()), np.float32)
    compiled(decode_all)(np.ascontiguousarray(stored), factors, table, diagonal, ends, out)
    return out


def decode_all(stored: Any, factors: Any, table: Any, diagonal: Any, ends: Any, out: Any) -> None:
    """Fill `out`; document i ends at `ends[i]` of it."""
    words = np.empty((TILE, BLOCK // 2), np.uint64)
    numbers, spare = words.view(np.float32), np.empty(BLOCK, np.float32)
    document, at = 0, 0
    for first in range(0, len(stored), TILE):
        tile = stored[first : first + TILE]
        if len(table) == 256:
            look_up_bytes(tile, table, words)
        else:
            look_up_pairs(tile, table, words)
        for block in range(len(tile)):
            while at == ends[document]:
                document += 1
            count = min(BLOCK, ends[document] - at)
            whole = out[at : at + BLOCK] if count == BLOCK else numbers[block]
            turn(numbers[block], 2 * table.shape[1], spare)
            finish(spare, factors[first + block], diagonal, whole)
            if count < BLOCK:
                out[at : at + count] = whole[:count]
            at += count


def look_up_bytes(tile: Any, table: Any, words: Any) -> None:
    """Entries of a few blocks, each that of one byte."""
    for block in range(len(tile)):
        row, target = tile[block], words[block]
        if table.shape[1] == 4:  # loops of a length that the compiler knows
            for place in range(16):
                for word in range(4):
                    target[4 * place + word] = table[row[place], word]
        elif table.shape[1] == 2:
            for place in range(32):
                for word in range(2):
                    target[2 * place + word] = table[row[place], word]
        else:
            for place in range(64):
                target[place] = table[row[place], 0]


def look_up_pairs(tile: Any, table: Any, words: Any) -> None:
    """Entries of a few blocks, each that of two codes. A byte behind the codes may be read, and its bits are dropped."""
    step = 0  # bits of two codes
    while 1 << step < len(table):
        step += 1
    for block in range(len(tile)):
        row, target = tile[block], words[block]
        for place in range(64):
            byte, shift = place * step >> 3, place * step & 7
            bits = np.int64(row[byte]) | np.int64(row[byte + 1]) << 8 | np.int64(row[byte + 2]) << 16
            target[place] = table[(bits >> shift) & ((1 << step) - 1), 0]


def turn(x: Any, done: Any, out: Any) -> None:
    """The steps of the transform from `done` (2, 4, 8) to 32 apart, in place and then to `out`."""
    if done <= 2:
        for place in range(0, BLOCK, 4):
            a, b, c, d = x[place], x[place + 1], x[place + 2], x[place + 3]
            x[place], x[place + 1], x[place + 2], x[place + 3] = a + c, b + d, a - c, b - d
    if done <= 4:
        for start in range(0, BLOCK, 8):
            for place in range(start, start + 4):
                a, b = x[place], x[place + 4]
                x[place], x[place + 4] = a + b, a - b
    for start in range(0, BLOCK, 32):
        for place in range(start, start + 8):
            a, b, c, d = x[place], x[place + 8], x[place + 16], x[place + 24]
            out[place], out[place + 8] = (a + b) + (c + d), (a - b) + (c - d)
            out[place + 16], out[place + 24] = (a + b) - (c + d), (a - b) - (c - d)


def finish(x: Any, factor: Any, diagonal: Any, out: Any) -> None:
    """The last two steps, the factor and the signs."""
    for place in range(32):
        a, b, c, d = x[place], x[place + 32], x[place + 64], x[place + 96]
        out[place] = ((a + b) + (c + d)) * factor * diagonal[place]
        out[place + 32] = ((a - b) + (c - d)) * factor * diagonal[place + 32]
        out[place + 64] = ((a + b) - (c + d)) * factor * diagonal[place + 64]
        out[place + 96] = ((a - b) - (c - d)) * factor * diagonal[place + 96]
