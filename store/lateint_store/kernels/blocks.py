"""The decoding kernel of `drive`: from stored bytes to numbers, one block of 128 after the other, within the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lateint_store.kernels.compiled import compiled
from lateint_store.numerics.hadamard import hadamard
from lateint_store.spec import Array

BLOCK = 128
# Blocks looked up at a time. Their entries are read back as whole registers, which is fast only once the writes have
# reached the cache.
TILE = 8
CODES_PER_LOOKUP = {1: 8, 2: 4, 4: 2}  # by bits: all codes of a byte if it holds whole codes; otherwise 2


def first_turns(levels: Array) -> npt.NDArray[np.uint64]:
    """Tabulate the first steps of the transform for all combinations of codes that are looked up at once.

    Args: `levels` [2**bits], the number that each code stands for. Returns: uint64 [entries, words], one entry for each
    value of a byte or each pair of codes, two float32 per word.
    """
    bits = len(levels).bit_length() - 1
    count = CODES_PER_LOOKUP.get(bits, 2)
    codes = np.arange(1 << bits * count) >> (bits * np.arange(count)[:, None]) & ((1 << bits) - 1)
    return np.ascontiguousarray(hadamard(levels.astype(np.float32)[codes]).T).view(np.uint64)


def decoded_blocks(stored: Array, factors: Array, table: Array, diagonal: Array, sizes: Array) -> npt.NDArray[np.float32]:
    """Decode blocks to S H c times a factor, in the order of operations of `drive`, without the padding of documents.

    Args: `stored` uint8 [k, bytes], codes and scale of k blocks; `factors` float32 [k]; `table` from `first_turns`;
    `diagonal` float32 [128]; `sizes` int64 [n], numbers of each document; each document starts a new block.
    Returns: float32 [sum(sizes)].
    """
    ends = np.cumsum(sizes)
    out = np.empty(int(sizes.sum()), np.float32)
    compiled(decode_all)(np.ascontiguousarray(stored), factors, table, diagonal, ends, out)
    return out


def decode_all(stored: Any, factors: Any, table: Any, diagonal: Any, ends: Any, out: Any) -> None:
    """Fill `out`; document i ends at `out[ends[i]]`."""
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
    """Fill `words` with the table entry of each byte of a few blocks."""
    for block in range(len(tile)):
        row, target = tile[block], words[block]
        if table.shape[1] == 4:  # loops whose length the compiler knows
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
    """Fill `words` with the table entry of each pair of codes of a few blocks.

    May read a byte behind the codes (the scale is there) and drops its bits.
    """
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
    """Run the steps of the transform from distance `done` (2, 4 or 8) to 16: in place, the last two into `out`."""
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
    """Run the last two steps (distances 32 and 64), then apply the factor and the signs."""
    for place in range(32):
        a, b, c, d = x[place], x[place + 32], x[place + 64], x[place + 96]
        out[place] = ((a + b) + (c + d)) * factor * diagonal[place]
        out[place + 32] = ((a - b) + (c - d)) * factor * diagonal[place + 32]
        out[place + 64] = ((a + b) - (c + d)) * factor * diagonal[place + 64]
        out[place + 96] = ((a - b) - (c - d)) * factor * diagonal[place + 96]
