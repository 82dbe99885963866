"""Eight bits a number, one scale a vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from lateint_store.codecs._scales import check_scale, join_scales, row_scales, scaled_bound, scaled_spec, split_scales
from lateint_store.codecs.codec import Bound
from lateint_store.kernels import dispatch as loading
from lateint_store.kernels.halves import halved
from lateint_store.kernels.scaled import rounded_bytes, scaled_bytes
from lateint_store.spec import Array, ArraySpec

LARGEST = 127
SAVED, SAVED_ENCODING = 0.3, 1.0
"""Nanoseconds a number that a kernel saves, decoding and encoding (benchmarks/speed/decode_speed.py)."""


@dataclass(frozen=True, slots=True)
class Int8:
    """Symmetric int8 per vector; the scale is kept, so decode is the nearest inverse.

    Array -> array. [r, w] float16 or float32 in; uint8 [r, w + s] out: w codes in -127..127 (two's complement), then
    the scale, little-endian, s = 4 bytes (float32) or 2 (float16). The scale is max|row| / 127 rounded up, so no code
    is clipped. Error: half a scale, about max|row| / 254, plus the rounding of the decoded dtype.
    Raises: InputError where 128 scales are beyond the decoded dtype.
    """

    name: ClassVar[str] = "int8"
    kind: ClassVar[Literal["array"]] = "array"
    scale: str = "float32"

    def __post_init__(self) -> None:
        check_scale(self.name, self.scale)

    def resolve(self, spec: ArraySpec) -> ArraySpec:
        """uint8, as wide as the codes and the scale."""
        return scaled_spec(self.name, spec, spec.columns, self.scale)

    def decoded(self, spec: ArraySpec) -> ArraySpec:
        """The dtype and width that went in."""
        return spec

    def encode(self, x: Array) -> Array:
        """Codes and scales of [r, w]."""
        scales = row_scales(x, LARGEST, self.scale)
        if loading.pays(SAVED_ENCODING * x.size):
            codes: Array = rounded_bytes(x, scales)
        else:
            codes = np.rint(np.divide(x, np.where(scales > 0, scales, 1), dtype=np.float32)).astype(np.int8)
        return join_scales(codes.view(np.uint8), scales, self.scale)

    def decode(self, y: Array, spec: ArraySpec) -> Array:
        """Codes times scales, in float32, then in the dtype of `spec`."""
        limit = float(np.finfo(spec.dtype).max) / (LARGEST + 1)
        codes, scales = split_scales(y, spec.columns, self.scale, limit)
        if loading.pays(SAVED * codes.size):
            found = scaled_bytes(y, scales, spec.columns)
            return halved(found) if spec.dtype == "float16" else found
        x = np.multiply(codes.view(np.int8), scales, dtype=np.float32)
        return x.astype(spec.dtype, copy=False)

    def lossless(self, spec: ArraySpec) -> bool:
        """Never."""
        return False

    def bound(self, x: Array) -> Bound:
        """Half a scale and the rounding, [r, 1]."""
        return scaled_bound(x, LARGEST, self.scale)
