"""Codes of 8 or 4 bits times the scale of their row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lateint_store.kernels.compiled import compiled
from lateint_store.spec import Array


def scaled_bytes(stored: Array, scales: Array, width: int) -> npt.NDArray[np.float32]:
    """The first `width` bytes of rows uint8 [r, bytes], as int8, times scales float32 [r, 1]: what `int8` decodes."""
    out = np.empty((len(stored), width), np.float32)
    compiled(scale_bytes)(np.ascontiguousarray(stored).view(np.int8), scales, out)
    return out


def scaled_nibbles(stored: Array, scales: Array, width: int) -> npt.NDArray[np.float32]:
    """The first `width` codes of rows uint8 [r, bytes], two in each byte, times scales float32 [r, 1]: what `int4` decodes."""
    out = np.empty((len(stored), width), np.float32)
    compiled(scale_nibbles)(np.ascontiguousarray(stored), scales, out)
    return out


def scale_bytes(stored: Any, scales: Any, out: Any) -> None:
    """Fill `out`, row by row."""
    for row in range(len(out)):
        own, target = stored[row], out[row]
        for place in range(len(target)):
            target[place] = np.float32(own[place]) * scales[row, 0]


def scale_nibbles(stored: Any, scales: Any, out: Any) -> None:
    """Fill `out`, row by row; the even column is in the low nibble, and code 0 stands as 8."""
    pairs = out.shape[1] // 2
    for row in range(len(out)):
        own, target = stored[row], out[row]
        for place in range(pairs):
            target[2 * place] = np.float32(np.int32(own[place] & 15) - 8) * scales[row, 0]
            target[2 * place + 1] = np.float32(np.int32(own[place] >> 4) - 8) * scales[row, 0]
        if len(target) % 2:
            target[2 * pairs] = np.float32(np.int32(own[pairs] & 15) - 8) * scales[row, 0]
