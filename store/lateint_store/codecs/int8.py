"""8-bit codes with one scale per row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from lateint_store.codecs._scales import check_scale, join_scales, row_scales, scaled_bound, scaled_spec, split_scales
from lateint_store.codecs.codec import Bound
from lateint_store.kernels.dispatch import with_kernel
from lateint_store.kernels.scaled import rounded_bytes, scaled_bytes
from lateint_store.spec import Array, ArraySpec

_LARGEST = 127


@dataclass(frozen=True, slots=True)
class Int8:
    """Symmetric int8 per row; the scale is stored, so decoding is the nearest inverse.

    Array -> array. In: [r, w] float16 or float32. Out: uint8 [r, w + s]: w codes in -127..127 (two's complement), then
    the scale, little-endian, in s = 4 bytes (float32) or 2 (float16). The scale is max|row| / 127 rounded up, so no code
    is clipped. Error: half a scale, about max|row| / 254, plus the rounding to the decoded dtype.
    Raises: InputError if 128 scales exceed the largest number of the decoded dtype.
    """

    name: ClassVar[str] = "int8"
    kind: ClassVar[Literal["array"]] = "array"
    scale: str = "float32"

    def __post_init__(self) -> None:
        check_scale(self.name, self.scale)

    def resolve(self, spec: ArraySpec) -> ArraySpec:
        """uint8, wide enough for the codes and the scale."""
        return scaled_spec(self.name, spec, spec.columns, self.scale)

    def decoded(self, spec: ArraySpec) -> ArraySpec:
        """The dtype and width that went in."""
        return spec

    def encode(self, x: Array) -> Array:
        """Codes and scales of [r, w]."""
        scales = row_scales(x, _LARGEST, self.scale)
        codes = _rounded(x.size, x, scales)
        return join_scales(codes.view(np.uint8), scales, self.scale)

    def decode(self, y: Array, spec: ArraySpec) -> Array:
        """Codes times scales in float32, converted to the dtype of `spec`."""
        limit = float(np.finfo(spec.dtype).max) / (_LARGEST + 1)
        codes, scales = split_scales(y, spec.columns, self.scale, limit)
        return _scaled(codes.size, y, scales, spec.columns, spec.dtype)

    def lossless(self, spec: ArraySpec) -> bool:
        """Never."""
        return False

    def bound(self, x: Array) -> Bound:
        """Half a scale plus rounding, [r, 1]."""
        return scaled_bound(x, _LARGEST, self.scale)


# Nanoseconds saved per number: benchmarks/speed/decode_speed.py.


@with_kernel(rounded_bytes, saved_ns=1.0)
def _rounded(x: Array, scales: Array) -> Array:
    """Codes int8 [r, w] of x over its scales [r, 1], rounded to nearest."""
    codes: Array = np.rint(np.divide(x, np.where(scales > 0, scales, 1), dtype=np.float32)).astype(np.int8)
    return codes


@with_kernel(scaled_bytes, saved_ns=0.3)
def _scaled(stored: Array, scales: Array, width: int, dtype: str) -> Array:
    """The first `width` bytes of each row as int8, times the row's scale: [r, width] of `dtype`."""
    x: Array = np.multiply(stored[:, :width].view(np.int8), scales, dtype=np.float32)
    return x.astype(dtype, copy=False)
