"""B bits per number, each row rotated by itself: a token can be read alone, and scored without decoding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from lateint_store.codecs._scales import join_scales, split_scales
from lateint_store.codecs.codec import Bound, check_choice, check_seed
from lateint_store.errors import InputError, SpecError
from lateint_store.numerics.bits import pack_bits, unpack_bits
from lateint_store.numerics.hadamard import hadamard, pieces, signs, total
from lateint_store.numerics.lloyd_max import borders, levels
from lateint_store.spec import Array, ArraySpec

_ROUNDING = 2.0**-18
"""Float32 rounding of a decoded number, relative to the norm of its row: sums of up to 2**15 levels, a root, a quotient."""
_TINY = 2.0**-138
"""Absolute rounding if the scale is subnormal."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """Each row of w numbers, w a power of two, randomly rotated: `bits` bits per number and the row's norm, or no norm.

    Array -> array. In: [r, w] float16 or float32. Out: uint8 [r, w bits / 8 + s]. A row x is rotated to y = H S x / |x|,
    with a diagonal S of signs drawn from `seed` and the Hadamard matrix H. Each number of y becomes the index of the
    nearest Lloyd-Max level c of N(0, 1). Stored: w indices (see `numerics/bits.py`), then the norm |x|, little-endian,
    in s = 4 bytes (float32), 2 (float16), or 0 with `scale="none"`. Decoded: x' = t S H c / (sqrt(w) |c|), of norm t =
    |x| as stored. With "none", t is 1: only the direction is stored, which is all that a cosine needs.
    A row of zeros decodes to zeros; with "none", to an arbitrary direction.

    Error: at most |x - x'| for every number of the row. Its square is about 2 - 2 sqrt(1 - D) times |x|**2, D = .363,
    .117, .0345, .0095, .0025, .00064, .00016, .00004 for 1 to 8 bits; with "none", relative to the unit row.
    Additions, products, quotients and square roots run in a fixed order: the same bytes and numbers on every machine.
    Raises: InputError for a row whose norm overflows the dtype of the scale or of the array.
    Source: lateint; rotation and levels as in DRIVE, NeurIPS 2021 (arXiv:2105.08339), with one row per block.
    """

    name: ClassVar[str] = "rotated"
    kind: ClassVar[Literal["array"]] = "array"
    bits: int
    scale: str = "float16"
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice(self.name, "bits", self.bits, tuple(range(1, 9)))
        check_choice(self.name, "scale", self.scale, ("float16", "float32", "none"))
        check_seed(self.name, self.seed)

    def resolve(self, spec: ArraySpec) -> ArraySpec:
        """uint8, wide enough for indices and norm. Raises: SpecError unless floats, and the width a power of two >= 8."""
        if not spec.is_float:
            raise SpecError(f"codec {self.name!r} needs float16 or float32 input, got {spec.dtype}")
        width = spec.columns
        if width < 8 or width & (width - 1):
            raise SpecError(f"codec {self.name!r} needs rows of 8, 16, 32, ... numbers, not {width}; 'drive' takes any width")
        return replace(spec, dtype="uint8", width=self.code_bytes(width) + self._scale_bytes)

    def decoded(self, spec: ArraySpec) -> ArraySpec:
        """The dtype and width that went in."""
        return spec

    def encode(self, x: Array) -> Array:
        """Rotate, quantise and pack, in float64."""
        codes, lengths = self._quantised(x)
        packed = np.ascontiguousarray(pack_bits(codes, self.bits).T)
        if self.scale == "none":
            return packed
        limit = min(float(np.finfo(self.scale).max), float(np.finfo(x.dtype).max))
        if not (lengths <= limit).all():
            row = int(np.argmax(~(lengths <= limit)))
            raise InputError(
                f"value {np.abs(x[row]).max():g} in row {row}: the norm of the row is too large for {self.scale} or {x.dtype}"
            )
        return join_scales(packed, lengths[:, None], self.scale)

    def decode(self, y: Array, spec: ArraySpec) -> Array:
        """Decode all rows in float32, a thousand at a time, and convert to the dtype of `spec`."""
        width = spec.columns
        lengths = np.ones((len(y), 1), np.float32)
        codes = y
        if self.scale != "none":
            codes, lengths = split_scales(y, self.code_bytes(width), self.scale, float(np.finfo(spec.dtype).max))
        table, diagonal = self.levels.astype(np.float32), signs(self.seed, width).astype(np.float32)
        out = np.empty((len(y), width), spec.dtype)
        for rows in pieces(len(y)):
            found = np.take(table, unpack_bits(np.ascontiguousarray(codes[rows].T), self.bits))  # [w, r]
            unit = np.sqrt(total(found**2) * np.float32(width))
            turned = hadamard(found) / unit * lengths[rows, 0]
            np.multiply(turned.T, diagonal, out=out[rows], casting="same_kind")
        return out

    def lossless(self, spec: ArraySpec) -> bool:
        """Never."""
        return False

    def bound(self, x: Array) -> Bound:
        """The norm of each row's error, plus rounding: [r, 1]. Cost: as `encode`."""
        codes, lengths = self._quantised(x)
        kept = np.ones(len(x)) if self.scale == "none" else lengths.astype(self.scale).astype(np.float64)
        found = self.levels[codes]
        turned = hadamard((x.astype(np.float64) * signs(self.seed, x.shape[1])).T) / np.sqrt(x.shape[1])
        errors = np.sqrt(total((turned - found * (kept / np.sqrt(total(found**2)))) ** 2))
        narrow = np.finfo(x.dtype)
        slack = (float(narrow.eps) + _ROUNDING) * (kept + lengths) + float(narrow.smallest_subnormal) + _TINY
        bound: Bound = ((1 + _ROUNDING) * errors + slack)[:, None]
        return bound

    @property
    def levels(self) -> Array:
        """The number that each index decodes to, up to the row's norm: float64 [2**bits]."""
        return levels(self.bits)

    def code_bytes(self, width: int) -> int:
        """Bytes of the indices of a row of `width` numbers."""
        return width * self.bits // 8

    def turn(self, x: Array) -> Array:
        """Rotate query rows float32 [q, w]: their inner product with c, times t / |c|, is that with the decoded row.

        Cost: w log2(w) additions per row.
        """
        width = x.shape[1]
        turned: Array = hadamard((x * signs(self.seed, width).astype(np.float32)).T).T / np.float32(np.sqrt(width))
        return turned

    @property
    def _scale_bytes(self) -> int:
        return 0 if self.scale == "none" else np.dtype(self.scale).itemsize

    def _quantised(self, x: Array) -> tuple[Array, Array]:
        """Indices uint8 [w, r] and norms float64 [r]."""
        turned = hadamard((x.astype(np.float64) * signs(self.seed, x.shape[1])).T)
        lengths = np.sqrt(total(turned**2) / x.shape[1])
        unit = turned / np.where(lengths > 0, lengths, 1)
        return np.searchsorted(borders(self.bits), unit, "right").astype(np.uint8), lengths
