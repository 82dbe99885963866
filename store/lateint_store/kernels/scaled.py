"""8-bit and 4-bit codes with one scale per row: the kernels of `int8` and `int4`, encoding and decoding."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lateint_store.kernels.compiled import compiled
from lateint_store.kernels.halves import narrowed
from lateint_store.spec import Array


def scaled_bytes(stored: Array, scales: Array, width: int, dtype: str) -> Array:
    """Decode `int8`: the first `width` bytes of each row of `stored` as int8, times the row's scale.

    Args: `stored` uint8 [r, bytes]; `scales` float32 [r, 1]. Returns: [r, width] of `dtype`, float32 or float16.
    """
    out = np.empty((len(stored), width), np.float32)
    compiled(scale_bytes)(np.ascontiguousarray(stored).view(np.int8), scales, out)
    return narrowed(out, dtype)


def scaled_nibbles(stored: Array, scales: Array, width: int, dtype: str) -> Array:
    """Decode `int4`: the first `width` codes of each row of `stored`, two per byte, times the row's scale.

    Args: `stored` uint8 [r, bytes]; `scales` float32 [r, 1]. Returns: [r, width] of `dtype`, float32 or float16.
    """
    out = np.empty((len(stored), width), np.float32)
    compiled(scale_nibbles)(np.ascontiguousarray(stored), scales, out)
    return narrowed(out, dtype)


def row_peaks(x: Array) -> npt.NDArray[np.float64]:
    """The largest absolute value in each row of x [r, w], floats without NaN: float64 [r, 1]; 0 if w is 0."""
    out = np.empty((len(x), 1))
    compiled(find_peaks)(np.ascontiguousarray(x, np.float32), out)
    return out


def rounded_bytes(x: Array, scales: Array) -> npt.NDArray[np.int8]:
    """Codes int8 [r, w]: x / scales rounded to nearest, ties to even. `scales` float32 [r, 1]; a scale of 0 counts as 1."""
    out = np.empty(x.shape, np.int8)
    compiled(round_bytes)(np.ascontiguousarray(x, np.float32), scales, out)
    return out


def rounded_nibbles(x: Array, scales: Array) -> npt.NDArray[np.uint8]:
    """The codes of `rounded_bytes` plus 8, two per byte: uint8 [r, ceil(w / 2)]."""
    out = np.empty((len(x), (x.shape[1] + 1) // 2), np.uint8)
    compiled(round_nibbles)(np.ascontiguousarray(x, np.float32), scales, out)
    return out


def scale_bytes(stored: Any, scales: Any, out: Any) -> None:
    """Fill `out`, row by row."""
    for row in range(len(out)):
        codes, target = stored[row], out[row]
        for i in range(len(target)):
            target[i] = np.float32(codes[i]) * scales[row, 0]


def scale_nibbles(stored: Any, scales: Any, out: Any) -> None:
    """Fill `out`, row by row. The even column is in the low nibble; code 0 is stored as 8."""
    pairs = out.shape[1] // 2
    for row in range(len(out)):
        codes, target = stored[row], out[row]
        for i in range(pairs):
            target[2 * i] = np.float32(np.int32(codes[i] & 15) - 8) * scales[row, 0]
            target[2 * i + 1] = np.float32(np.int32(codes[i] >> 4) - 8) * scales[row, 0]
        if len(target) % 2:
            target[2 * pairs] = np.float32(np.int32(codes[pairs] & 15) - 8) * scales[row, 0]


def find_peaks(x: Any, out: Any) -> None:
    """Fill `out`, row by row."""
    for row in range(len(x)):
        values, peak = x[row], np.float32(0)
        for i in range(len(values)):
            peak = max(peak, abs(values[i]))
        out[row, 0] = peak


def round_bytes(x: Any, scales: Any, out: Any) -> None:
    """Fill `out`, row by row."""
    for row in range(len(x)):
        values, target = x[row], out[row]
        scale = scales[row, 0] if scales[row, 0] > 0 else np.float32(1)
        for i in range(len(values)):
            target[i] = np.int8(np.rint(values[i] / scale))


def round_nibbles(x: Any, scales: Any, out: Any) -> None:
    """Fill `out`, row by row. An odd width is padded with code 0, which is stored as 8."""
    pairs = x.shape[1] // 2
    for row in range(len(x)):
        values, target = x[row], out[row]
        scale = scales[row, 0] if scales[row, 0] > 0 else np.float32(1)
        for i in range(pairs):
            low = np.int32(np.rint(values[2 * i] / scale)) + 8
            high = np.int32(np.rint(values[2 * i + 1] / scale)) + 8
            target[i] = np.uint8(low | high << 4)
        if len(values) % 2:
            target[pairs] = np.uint8((np.int32(np.rint(values[2 * pairs] / scale)) + 8) | 8 << 4)
