"""Four bits a number, one scale a vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from lateint_store.codecs._scales import check_scale, join_scales, row_scales, scaled_bound, scaled_spec, split_scales
from lateint_store.codecs.codec import Bound
from lateint_store.kernels import dispatch as loading
from lateint_store.kernels.halves import halved
from lateint_store.kernels.scaled import rounded_nibbles, scaled_nibbles
from lateint_store.spec import Array, ArraySpec

LARGEST = 7
SAVED, SAVED_ENCODING = 0.5, 2.0
"""Nanoseconds a number that a kernel saves, decoding and encoding (benchmarks/speed/decode_speed.py)."""
# The two float32 numbers of every byte, low nibble first, seen as one 8-byte word: one look-up a byte.
PAIRS = (np.stack([np.arange(256) & 15, np.arange(256) >> 4], axis=1).astype(np.float32) - 8).view(np.uint64)[:, 0]


@dataclass(frozen=True, slots=True)
class Int4:
    """Symmetric 4-bit numbers per vector, two a byte; the scale is kept.

    Array -> array. [r, w] float16 or float32 in; uint8 [r, ceil(w / 2) + s] out: codes -7..7 stored as code + 8, the
    even column in the low nibble, an odd width padded with code 0; then the scale, little-endian, s = 4 bytes (float32)
    or 2 (float16). The scale is max|row| / 7 rounded up. Error: half a scale, about max|row| / 14, plus the rounding of
    the decoded dtype. Raises: InputError where 8 scales are beyond the decoded dtype.
    """

    name: ClassVar[str] = "int4"
    kind: ClassVar[Literal["array"]] = "array"
    scale: str = "float32"

    def __post_init__(self) -> None:
        check_scale(self.name, self.scale)

    def resolve(self, spec: ArraySpec) -> ArraySpec:
        """uint8, as wide as the bytes of codes and the scale."""
        return scaled_spec(self.name, spec, (spec.columns + 1) // 2, self.scale)

    def decoded(self, spec: ArraySpec) -> ArraySpec:
        """The dtype and width that went in."""
        return spec

    def encode(self, x: Array) -> Array:
        """Codes and scales of [r, w]."""
        scales = row_scales(x, LARGEST, self.scale)
        if loading.pays(SAVED_ENCODING * x.size):
            return join_scales(rounded_nibbles(x, scales), scales, self.scale)
        nibbles = np.full((len(x), x.shape[1] + x.shape[1] % 2), 8, np.uint8)
        quotients = np.divide(x, np.where(scales > 0, scales, 1), dtype=np.float32)
        nibbles[:, : x.shape[1]] = (np.rint(quotients) + 8).astype(np.uint8)
        return join_scales(nibbles[:, 0::2] | (nibbles[:, 1::2] << 4), scales, self.scale)

    def decode(self, y: Array, spec: ArraySpec) -> Array:
        """Codes times scales, in float32, then in the dtype of `spec`."""
        limit = float(np.finfo(spec.dtype).max) / (LARGEST + 1)
        packed, scales = split_scales(y, (spec.columns + 1) // 2, self.scale, limit)
        if loading.pays(SAVED * spec.columns * len(packed)):
            found = scaled_nibbles(y, scales, spec.columns)
            return halved(found) if spec.dtype == "float16" else found
        x = np.take(PAIRS, packed).view(np.float32)
        np.multiply(x, scales, out=x)
        return np.ascontiguousarray(x[:, : spec.columns].astype(spec.dtype, copy=False))

    def lossless(self, spec: ArraySpec) -> bool:
        """Never."""
        return False

    def bound(self, x: Array) -> Bound:
        """Half a scale and the rounding, [r, 1]."""
        return scaled_bound(x, LARGEST, self.scale)
