"""SDR's quantiser: rotate blocks of numbers at random, then take the best levels for Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from lateint_store.codecs._scales import join_scales, split_scales
from lateint_store.codecs.codec import Bound, Count, check_choice, check_seed
from lateint_store.errors import InputError, SpecError
from lateint_store.kernels import dispatch as loading
from lateint_store.kernels.blocks import BLOCK, decoded_blocks, first_turns
from lateint_store.kernels.halves import halved
from lateint_store.kernels.rotating import quantised_blocks
from lateint_store.numerics.bits import pack_bits, unpack_bits
from lateint_store.numerics.hadamard import hadamard, pieces, signs, total
from lateint_store.numerics.lloyd_max import borders, levels
from lateint_store.ragged import unfilled
from lateint_store.spec import Array, ArraySpec

ROUNDING = 2.0**-20
"""Float32 rounding of a decoded number, relative to the length of its block: 11 roundings of 2**-24, 7 of them additions."""
TINY = 2.0**-138
"""The rounding where a scale is so small that it has fewer bits: 2**-150 times a sum of 128 levels."""
SAVED, SAVED_ENCODING = 2.5, 15.0
"""Nanoseconds a number that a kernel saves, decoding and encoding (benchmarks/speed/decode_speed.py)."""


@dataclass(frozen=True, slots=True)
class Drive:
    """Blocks of 128 numbers, randomly rotated, `bits` bits a number and one scale a block.

    Array -> bytes. [m, w] float16 or float32, row by row, the last block of a document filled with zeros. A block x is
    turned into y = H S x / sqrt(128): S a diagonal of signs drawn from `seed`, H the Hadamard matrix. Each number of
    sqrt(128) y / |x| becomes the index of the nearest Lloyd-Max level c of N(0, 1). Stored: 128 indices (16 `bits` bytes,
    see `lateint_store/bits.py`) and the scale s (4 bytes, or 2 with `scale_dtype="float16"`), little-endian, so
    ceil(m w / 128) (16 bits + 4) bytes a document. Decoded: x' = S H s c / sqrt(128).
    `scale="norm"`, the paper's default run: s = |x| / sqrt(128), least error. `scale="unbiased"`, its bias correction:
    s = |x| sqrt(128) / sum(c**2), right inner products on average. With 1 bit c is a sign, and s is sum|y| / 128 or
    |x|**2 / sum|y|.
    A block of zeros comes back as zeros. The size tells blocks, not rows: those a record states, under its checksum.

    Error: at most the length of the block's error, |x - x'| = |y - s c|, for every number of the block; its square is
    about D |x|**2 ("norm") or D / (1 - D) |x|**2, D = .363, .117, .0345, .0095, .0025, .00064, .00016, .00004 for 1 to 8 bits.
    Additions, products, quotients and square roots in a fixed order: the same bytes and numbers on every machine.
    Raises: InputError where 12 times the largest level and the scale are beyond the dtype.
    Source: SDR, ACL 2022 (arXiv:2110.02065), section 3; DRIVE, NeurIPS 2021 (arXiv:2105.08339).
    """

    name: ClassVar[str] = "drive"
    kind: ClassVar[Literal["layout"]] = "layout"
    bits: int
    scale: str = "norm"
    scale_dtype: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice(self.name, "bits", self.bits, tuple(range(1, 9)))
        check_choice(self.name, "scale", self.scale, ("norm", "unbiased"))
        check_choice(self.name, "scale_dtype", self.scale_dtype, ("float32", "float16"))
        check_seed(self.name, self.seed)

    def resolve(self, spec: ArraySpec) -> None:
        """Floats of any shape."""
        if not spec.is_float:
            raise SpecError(f"codec 'drive' needs float16 or float32 input, got {spec.dtype}; 'pack' packs integers")

    def nbytes(self, spec: ArraySpec, rows: Count) -> Count:
        """Blocks times the bytes of their codes and scale."""
        return -(-rows * spec.columns // BLOCK) * (self._code_bytes + np.dtype(self.scale_dtype).itemsize)

    def encode(self, matrix: Array) -> bytes:
        """Rotate, quantise and pack, in float64. Raises: InputError where a scale is too large."""
        packed, scales = self._packed(matrix)
        limit = self._limit(matrix.dtype.name)
        if not (scales <= limit).all():
            place = BLOCK * int(np.argmax(~(scales <= limit)))
            block = np.abs(matrix.ravel()[place : place + BLOCK])
            row, column = divmod(place + int(block.argmax()), matrix.shape[1])
            raise InputError(
                f"value {matrix[row, column]:g} at row {row}, column {column} is too large for a {self.scale_dtype} scale "
                f"of {matrix.dtype} numbers"
            )
        return join_scales(packed, scales[:, None], self.scale_dtype).tobytes()

    def decode(self, data: npt.NDArray[np.uint8], spec: ArraySpec, rows: npt.NDArray[np.int64]) -> Array:
        """All blocks of all documents, in float32; then in the dtype of `spec`. Cost: 3 to 5 ns a number, with kernels 1."""
        width = self._code_bytes + np.dtype(self.scale_dtype).itemsize
        stored = data.reshape(-1, width)
        codes, scales = split_scales(stored, self._code_bytes, self.scale_dtype, self._limit(spec.dtype))
        factors = scales * np.float32(1 / np.sqrt(BLOCK))
        table, diagonal = self._levels.astype(np.float32), signs(self.seed, BLOCK).astype(np.float32)
        if loading.pays(SAVED * BLOCK * len(stored)):
            found = decoded_blocks(stored, factors[:, 0], _turned(self.bits), diagonal, rows * spec.columns)
            return (halved(found) if spec.dtype == "float16" else found).reshape(-1, spec.columns)
        numbers = np.empty((len(stored), BLOCK), spec.dtype)
        for some in pieces(len(stored)):
            rotated = hadamard(np.take(table, unpack_bits(np.ascontiguousarray(codes[some].T), self.bits)))
            rotated *= factors[some, 0]
            np.multiply(rotated.T, diagonal, out=numbers[some], casting="same_kind")
        return unfilled(numbers.reshape(-1), rows * spec.columns, BLOCK).reshape(-1, spec.columns)

    def lossless(self, spec: ArraySpec) -> bool:
        """Never."""
        return False

    def bound(self, x: Array) -> Bound:
        """The length of the error of each block that a row has numbers in, and the rounding: [r, 1]. Cost: that of `encode`."""
        rotated, codes, scales = self._quantised(x)
        kept = self._levels[codes] * scales
        narrow = np.finfo(x.dtype)
        errors = (1 + ROUNDING) * np.sqrt(total((rotated - kept) ** 2))
        errors += (float(narrow.eps) + ROUNDING) * np.sqrt(total(kept**2)) + float(narrow.smallest_subnormal) + TINY
        each = np.repeat(errors, BLOCK)[: x.size].reshape(x.shape)
        bound: Bound = each.max(axis=1, keepdims=True, initial=0)
        return bound

    @property
    def _code_bytes(self) -> int:
        return BLOCK // 8 * self.bits

    @property
    def _levels(self) -> Array:
        return _levels(self.bits)

    def _limit(self, dtype: str) -> float:
        """The largest scale with which every sum of 128 levels stays in a dtype: 12 is above sqrt(128)."""
        return float(np.finfo(dtype).max) / (12 * float(self._levels[-1]))

    def _packed(self, matrix: Array) -> tuple[Array, Array]:
        """Bytes of the codes uint8 [n, 16 bits], and scales float64 [n] as they will be stored."""
        if loading.pays(SAVED_ENCODING * matrix.size):
            diagonal = signs(self.seed, BLOCK).astype(np.float64)
            tables = borders(self.bits), self._levels
            packed, scales = quantised_blocks(matrix.ravel(), diagonal, *tables, self.scale == "unbiased")
            return packed, self._rounded(scales)
        _, codes, scales = self._quantised(matrix)
        return pack_bits(codes, self.bits).T, scales

    def _rounded(self, scales: Array) -> Array:
        with np.errstate(over="ignore"):
            rounded: Array = scales.astype(self.scale_dtype).astype(np.float64)
        return rounded

    def _quantised(self, matrix: Array) -> tuple[Array, Array, Array]:
        """Rotated blocks float64 [128, n], their codes uint8 [128, n], and scales float64 [n] as they will be stored."""
        blocks = np.zeros((-(-matrix.size // BLOCK), BLOCK))
        blocks.reshape(-1)[: matrix.size] = matrix.ravel()
        rotated = hadamard((blocks * signs(self.seed, BLOCK)).T) / np.sqrt(BLOCK)
        squares = total(rotated**2)
        lengths = np.sqrt(squares / BLOCK)
        codes = np.searchsorted(borders(self.bits), rotated / np.where(lengths > 0, lengths, 1), "right").astype(np.uint8)
        if self.bits == 1:
            sums = total(np.abs(rotated))
            scales = sums / BLOCK if self.scale == "norm" else squares / np.where(sums > 0, sums, 1)
        else:
            scales = lengths if self.scale == "norm" else lengths * BLOCK / total(self._levels[codes] ** 2)
        return rotated, codes, self._rounded(scales)


def _levels(bits: int) -> Array:
    """What a code stands for; with one bit it is a sign."""
    return np.array([-1.0, 1.0]) if bits == 1 else levels(bits)


@cache
def _turned(bits: int) -> Array:
    return first_turns(_levels(bits))
