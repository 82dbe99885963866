"""float32 to float16. numpy converts one number at a time, and slowly where low bits are lost to subnormals."""

from __future__ import annotations

from typing import Any

import numpy as np

from lateint_store.kernels.compiled import compiled
from lateint_store.spec import Array

_CHUNK = 1024  # numbers rounded at a time, so that the intermediate results stay in the cache


def narrowed(numbers: Array, dtype: str) -> Array:
    """float32 of any shape, no NaN, in `dtype`: float16 by the kernel, float32 without a copy."""
    return halved(numbers) if dtype == "float16" else numbers


def halved(numbers: Array) -> Array:
    """float32 of any shape, no NaN -> float16: the bits that `astype` gives, without its warning on overflow."""
    flat = np.ascontiguousarray(numbers).reshape(-1)
    out = np.empty(len(flat), np.uint16)
    compiled(round_all)(flat, flat.view(np.uint32), out)
    return out.view(np.float16).reshape(numbers.shape)


def round_all(numbers: Any, words: Any, out: Any) -> None:
    """Fill `out` uint16 with the bits of the nearest float16, ties to even; `words` are the bits of `numbers`."""
    shifted = np.empty(_CHUNK, np.float32)
    low = shifted.view(np.uint32)
    for first in range(0, len(numbers), _CHUNK):
        count = min(_CHUNK, len(numbers) - first)
        chunk, bits, target = numbers[first : first + count], words[first : first + count], out[first : first + count]
        for i in range(count):  # next to 0.5, the last bit of a float32 is 2**-24, that of the smallest float16
            shifted[i] = abs(chunk[i]) + np.float32(0.5)
        for i in range(count):
            size = bits[i] & np.uint32(0x7FFFFFFF)
            odd = (size >> np.uint32(13)) & np.uint32(1)
            large = max(size, np.uint32(0x38800000)) - np.uint32(0x38000000)  # from 2**-14 on
            normal = min((large + np.uint32(0xFFF) + odd) >> np.uint32(13), np.uint32(0x7C00))
            small = low[i] - np.uint32(0x3F000000)
            rounded = small if size < np.uint32(0x38800000) else normal
            target[i] = np.uint16(rounded | ((bits[i] >> np.uint32(16)) & np.uint32(0x8000)))
