"""SDR's quantiser: rotate blocks of numbers at random, then quantise to the best levels for Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from lateint_store.codecs._scales import join_scales, split_scales
from lateint_store.codecs.codec import Bound, Count, check_choice, check_seed
from lateint_store.errors import InputError, SpecError
from lateint_store.kernels.blocks import BLOCK, decoded_blocks, first_turns
from lateint_store.kernels.dispatch import with_kernel
from lateint_store.kernels.halves import narrowed
from lateint_store.kernels.rotating import quantised_blocks
from lateint_store.numerics.bits import pack_bits, unpack_bits
from lateint_store.numerics.hadamard import hadamard, pieces, signs, total
from lateint_store.numerics.lloyd_max import borders, levels
from lateint_store.ragged import unfilled
from lateint_store.spec import Array, ArraySpec

_ROUNDING = 2.0**-20
"""Float32 rounding of a decoded number, relative to the norm of its block: 11 roundings of 2**-24, 7 of them additions."""
_TINY = 2.0**-138
"""Absolute rounding if the scale is subnormal: 2**-150 times a sum of 128 levels."""


@dataclass(frozen=True, slots=True)
class Drive:
    """Blocks of 128 numbers, randomly rotated: `bits` bits per number and one scale per block.

    Array -> bytes. [m, w] float16 or float32, taken row by row; zeros fill the last block of a document. A block x is
    rotated to y = H S x / sqrt(128), with a diagonal S of signs drawn from `seed` and the Hadamard matrix H. Each number
    of sqrt(128) y / |x| becomes the index of the nearest Lloyd-Max level c of N(0, 1). Stored: 128 indices (16 `bits`
    bytes, see `numerics/bits.py`), then the scale s (4 bytes, or 2 with `scale_dtype="float16"`), little-endian, so
    ceil(m w / 128) (16 bits + 4) bytes per document. Decoded: x' = S H s c / sqrt(128).
    `scale="norm"`, the paper's default run: s = |x| / sqrt(128), the least error. `scale="unbiased"`, its bias
    correction: s = |x| sqrt(128) / sum(c**2), unbiased inner products. With 1 bit, c is a sign and s is sum|y| / 128 or
    |x|**2 / sum|y|.
    A block of zeros decodes to zeros. The size gives the number of blocks only; the record header holds the rows.

    Error: at most the norm of the block's error, |x - x'| = |y - s c|, for every number of the block. Its square is
    about D |x|**2 ("norm") or D / (1 - D) |x|**2, D = .363, .117, .0345, .0095, .0025, .00064, .00016, .00004 for 1 to 8 bits.
    Additions, products, quotients and square roots run in a fixed order: the same bytes and numbers on every machine.
    Raises: InputError if 12 times the largest level times the scale overflows the dtype.
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
        """Accept floats of any width. Raises: SpecError for anything else."""
        if not spec.is_float:
            raise SpecError(f"codec 'drive' needs float16 or float32 input, got {spec.dtype}; 'pack' packs integers")

    def nbytes(self, spec: ArraySpec, rows: Count) -> Count:
        """Number of blocks times the bytes of a block's codes and scale."""
        return -(-rows * spec.columns // BLOCK) * (self._code_bytes + np.dtype(self.scale_dtype).itemsize)

    def encode(self, matrix: Array) -> bytes:
        """Rotate, quantise and pack, in float64. Raises: InputError if a scale is too large."""
        packed, scales = _encode(matrix.size, self, matrix)
        limit = self._limit(matrix.dtype.name)
        if not (scales <= limit).all():
            start = BLOCK * int(np.argmax(~(scales <= limit)))
            block = np.abs(matrix.ravel()[start : start + BLOCK])
            row, column = divmod(start + int(block.argmax()), matrix.shape[1])
            raise InputError(
                f"value {matrix[row, column]:g} at row {row}, column {column} is too large for a {self.scale_dtype} scale "
                f"of {matrix.dtype} numbers"
            )
        return join_scales(packed, scales[:, None], self.scale_dtype).tobytes()

    def decode(self, data: npt.NDArray[np.uint8], spec: ArraySpec, rows: npt.NDArray[np.int64]) -> Array:
        """Decode all blocks in float32, then convert to the dtype of `spec`. Cost: 3 to 5 ns per number, 1 with kernels."""
        width = self._code_bytes + np.dtype(self.scale_dtype).itemsize
        stored = data.reshape(-1, width)
        _, scales = split_scales(stored, self._code_bytes, self.scale_dtype, self._limit(spec.dtype))
        factors = scales[:, 0] * np.float32(1 / np.sqrt(BLOCK))
        decoded = _decode(BLOCK * len(stored), self, stored, factors, rows * spec.columns, spec.dtype)
        return decoded.reshape(-1, spec.columns)

    def lossless(self, spec: ArraySpec) -> bool:
        """Never."""
        return False

    def bound(self, x: Array) -> Bound:
        """The largest error norm among the blocks that a row has numbers in, plus rounding: [r, 1]. Cost: as `encode`."""
        rotated, codes, scales = self._quantised(x)
        kept = self._levels[codes] * scales
        narrow = np.finfo(x.dtype)
        errors = (1 + _ROUNDING) * np.sqrt(total((rotated - kept) ** 2))
        errors += (float(narrow.eps) + _ROUNDING) * np.sqrt(total(kept**2)) + float(narrow.smallest_subnormal) + _TINY
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
        """The largest scale for which every sum of 128 levels fits the dtype; 12 is above sqrt(128)."""
        return float(np.finfo(dtype).max) / (12 * float(self._levels[-1]))

    def _rounded(self, scales: Array) -> Array:
        """Scales float64 rounded to the dtype that stores them."""
        with np.errstate(over="ignore"):
            rounded: Array = scales.astype(self.scale_dtype).astype(np.float64)
        return rounded

    def _quantised(self, matrix: Array) -> tuple[Array, Array, Array]:
        """Rotated blocks float64 [128, n], their codes uint8 [128, n], and their rounded scales float64 [n]."""
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
    """The number that each code decodes to; with 1 bit, its sign."""
    return np.array([-1.0, 1.0]) if bits == 1 else levels(bits)


@cache
def _turned(bits: int) -> Array:
    return first_turns(_levels(bits))


# Nanoseconds saved per number: benchmarks/speed/decode_speed.py.


def _encode_compiled(codec: Drive, matrix: Array) -> tuple[Array, Array]:
    diagonal = signs(codec.seed, BLOCK).astype(np.float64)
    tables = borders(codec.bits), _levels(codec.bits)
    packed, scales = quantised_blocks(matrix.ravel(), diagonal, *tables, codec.scale == "unbiased")
    return packed, codec._rounded(scales)


@with_kernel(_encode_compiled, saved_ns=15.0)
def _encode(codec: Drive, matrix: Array) -> tuple[Array, Array]:
    """Packed codes uint8 [blocks, 16 bits] and rounded scales float64 [blocks] of one document."""
    _, codes, scales = codec._quantised(matrix)
    return pack_bits(codes, codec.bits).T, scales


def _decode_compiled(codec: Drive, stored: Array, factors: Array, sizes: Array, dtype: str) -> Array:
    diagonal = signs(codec.seed, BLOCK).astype(np.float32)
    return narrowed(decoded_blocks(stored, factors, _turned(codec.bits), diagonal, sizes), dtype)


@with_kernel(_decode_compiled, saved_ns=2.5)
def _decode(codec: Drive, stored: Array, factors: Array, sizes: Array, dtype: str) -> Array:
    """S H c times a factor, without the padding of documents: [sum(sizes)] of `dtype`.

    Args: `stored` uint8 [blocks, bytes], codes and scales; `factors` float32 [blocks]; `sizes` int64 [n], numbers of each
    document.
    """
    table, diagonal = _levels(codec.bits).astype(np.float32), signs(codec.seed, BLOCK).astype(np.float32)
    numbers = np.empty((len(stored), BLOCK), dtype)
    for blocks in pieces(len(stored)):
        codes = np.ascontiguousarray(stored[blocks, : codec._code_bytes].T)
        rotated = hadamard(np.take(table, unpack_bits(codes, codec.bits)))
        rotated *= factors[blocks]
        np.multiply(rotated.T, diagonal, out=numbers[blocks], casting="same_kind")
    return unfilled(numbers.reshape(-1), sizes, BLOCK)
