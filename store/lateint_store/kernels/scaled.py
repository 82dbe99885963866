"""Numbers of 8 or 4 bits and the scale of their row: what `int8` and `int4` compute, both ways."""

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


def row_peaks(x: Array) -> npt.NDArray[np.float64]:
    """The largest absolute value of each row of floats [r, w], none of them NaN: [r, 1]; 0 for no columns."""
    out = np.empty((len(x), 1))
    compiled(find_peaks)(np.ascontiguousarray(x, np.float32), out)
    return out


def rounded_bytes(x: Array, scales: Array) -> npt.NDArray[np.int8]:
    """Codes int8 [r, w] of floats x over scales float32 [r, 1], to the nearest, ties to even; a scale of 0 counts as 1."""
    out = np.empty(x.shape, np.int8)
    compiled(round_bytes)(np.ascontiguousarray(x, np.float32), scales, out)
    return out


def rounded_nibbles(x: Array, scales: Array) -> npt.NDArray[np.uint8]:
    """The same codes plus 8, two in each byte: uint8 [r, ceil(w / 2)]."""
    out = np.empty((len(x), (x.shape[1] + 1) // 2), np.uint8)
    compiled(round_nibbles)(np.ascontiguousarray(x, np.float32), scales, out)
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


def find_peaks(x: Any, out: Any) -> None:
    """Fill `out`."""
    for row in range(len(x)):
        own, peak = x[row], np.float32(0)
        for place in range(len(own)):
            peak = max(peak, abs(own[place]))
        out[row, 0] = peak


def round_bytes(x: Any, scales: Any, out: Any) -> None:
    """Fill `out`, row by row."""
    for row in range(len(x)):
        own, target = x[row], out[row]
        scale = scales[row, 0] if scales[row, 0] > 0 else np.float32(1)
        for place in range(len(own)):
            target[place] = np.int8(np.rint(own[place] / scale))


def round_nibbles(x: Any, scales: Any, out: Any) -> None:
    """Fill `out`, row by row; an odd width is filled up with code 0, which stands as 8."""
    pairs = x.shape[1] // 2
    for row in range(len(x)):
        own, target = x[row], out[row]
        scale = scales[row, 0] if scales[row, 0] > 0 else np.float32(1)
        for place in range(pairs):
            low = np.int32(np.rint(own[2 * place] / scale)) + 8
            high = np.int32(np.rint(own[2 * place + 1] / scale)) + 8
            target[place] = np.uint8(low | high << 4)
        if len(own) % 2:
            target[pairs] = np.uint8((np.int32(np.rint(own[2 * pairs] / scale)) + 8) | 8 << 4)
