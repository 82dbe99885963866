"""float32 to float16: numpy does a number at a time, and takes long over those that lose bits at the bottom."""

from __future__ import annotations

from typing import Any

import numpy as np

from lateint_store.kernels.compiled import compiled
from lateint_store.spec import Array

TOGETHER = 1024


def halved(numbers: Array) -> Array:
    """float32 of any shape, no NaN -> float16: what `astype` gives, to the bit, without its warning where numbers overflow."""
    flat = np.ascontiguousarray(numbers).reshape(-1)
    out = np.empty(len(flat), np.uint16)
    compiled(round_all)(flat, flat.view(np.uint32), out)
    return out.view(np.float16).reshape(numbers.shape)


def round_all(numbers: Any, words: Any, out: Any) -> None:
    """Fill `out` uint16 with the bits of the nearest float16, ties to even; `words` are the bits of `numbers`."""
    shifted = np.empty(TOGETHER, np.float32)
    low = shifted.view(np.uint32)
    for first in range(0, len(numbers), TOGETHER):
        count = min(TOGETHER, len(numbers) - first)
        some, their, target = numbers[first : first + count], words[first : first + count], out[first : first + count]
        for place in range(count):  # beside 0.5 the last bit of a float32 is 2**-24, that of the smallest float16
            shifted[place] = abs(some[place]) + np.float32(0.5)
        for place in range(count):
            size = their[place] & np.uint32(0x7FFFFFFF)
            odd = (size >> np.uint32(13)) & np.uint32(1)
            large = max(size, np.uint32(0x38800000)) - np.uint32(0x38000000)  # from 2**-14 on
            normal = min((large + np.uint32(0xFFF) + odd) >> np.uint32(13), np.uint32(0x7C00))
            small = low[place] - np.uint32(0x3F000000)
            found = small if size < np.uint32(0x38800000) else normal
            target[place] = np.uint16(found | ((their[place] >> np.uint32(16)) & np.uint32(0x8000)))
