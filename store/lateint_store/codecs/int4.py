"""4-bit codes with one scale per row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from lateint_store.codecs._scales import check_scale, join_scales, row_scales, scaled_bound, scaled_spec, split_scales
from lateint_store.codecs.codec import Bound
from lateint_store.kernels.dispatch import with_kernel
from lateint_store.kernels.scaled import rounded_nibbles, scaled_nibbles
from lateint_store.spec import Array, ArraySpec

_LARGEST = 7
# The two float32 numbers of each byte value, low nibble first, viewed as one 8-byte word: one look-up per byte.
_PAIRS = (np.stack([np.arange(256) & 15, np.arange(256) >> 4], axis=1).astype(np.float32) - 8).view(np.uint64)[:, 0]


@dataclass(frozen=True, slots=True)
class Int4:
    """Symmetric 4-bit codes per row, two per byte; the scale is stored.

    Array -> array. In: [r, w] float16 or float32. Out: uint8 [r, ceil(w / 2) + s]: codes -7..7 stored as code + 8, the
    even column in the low nibble, an odd width padded with code 0; then the scale, little-endian, in s = 4 bytes
    (float32) or 2 (float16). The scale is max|row| / 7 rounded up. Error: half a scale, about max|row| / 14, plus the
    rounding to the decoded dtype. Raises: InputError if 8 scales exceed the largest number of the decoded dtype.
    """

    name: ClassVar[str] = "int4"
    kind: ClassVar[Literal["array"]] = "array"
    scale: str = "float32"

    def __post_init__(self) -> None:
        check_scale(self.name, self.scale)

    def resolve(self, spec: ArraySpec) -> ArraySpec:
        """uint8, wide enough for the packed codes and the scale."""
        return scaled_spec(self.name, spec, (spec.columns + 1) // 2, self.scale)

    def decoded(self, spec: ArraySpec) -> ArraySpec:
        """The dtype and width that went in."""
        return spec

    def encode(self, x: Array) -> Array:
        """Codes and scales of [r, w]."""
        scales = row_scales(x, _LARGEST, self.scale)
        return join_scales(_rounded(x.size, x, scales), scales, self.scale)

    def decode(self, y: Array, spec: ArraySpec) -> Array:
        """Codes times scales in float32, converted to the dtype of `spec`."""
        limit = float(np.finfo(spec.dtype).max) / (_LARGEST + 1)
        _, scales = split_scales(y, (spec.columns + 1) // 2, self.scale, limit)
        return _scaled(spec.columns * len(y), y, scales, spec.columns, spec.dtype)

    def lossless(self, spec: ArraySpec) -> bool:
        """Never."""
        return False

    def bound(self, x: Array) -> Bound:
        """Half a scale plus rounding, [r, 1]."""
        return scaled_bound(x, _LARGEST, self.scale)


# Nanoseconds saved per number: benchmarks/speed/decode_speed.py.


@with_kernel(rounded_nibbles, saved_ns=2.0)
def _rounded(x: Array, scales: Array) -> Array:
    """Codes of x over its scales [r, 1], rounded to nearest, plus 8, two per byte: uint8 [r, ceil(w / 2)]."""
    nibbles = np.full((len(x), x.shape[1] + x.shape[1] % 2), 8, np.uint8)
    quotients = np.divide(x, np.where(scales > 0, scales, 1), dtype=np.float32)
    nibbles[:, : x.shape[1]] = (np.rint(quotients) + 8).astype(np.uint8)
    packed: Array = nibbles[:, 0::2] | (nibbles[:, 1::2] << 4)
    return packed


@with_kernel(scaled_nibbles, saved_ns=0.5)
def _scaled(stored: Array, scales: Array, width: int, dtype: str) -> Array:
    """The first `width` codes of each row, two per byte, times the row's scale: [r, width] of `dtype`."""
    x = np.take(_PAIRS, stored[:, : (width + 1) // 2]).view(np.float32)
    np.multiply(x, scales, out=x)
    return np.ascontiguousarray(x[:, :width].astype(dtype, copy=False))
