"""Whole numbers of a few bits each, without the bits that are always zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from lateint_store.codecs.codec import Bound, Count, check_choice
from lateint_store.errors import InputError, SpecError
from lateint_store.kernels import dispatch as loading
from lateint_store.kernels.stream import WIDEST, read_streams, write_stream
from lateint_store.numerics.bits import GROUP, pack_bits, unpack_bits
from lateint_store.ragged import filled, unfilled
from lateint_store.spec import Array, ArraySpec

SAVED, SAVED_PACKING = 9.0, 3e4
"""Nanoseconds that a kernel saves: a decoded number, an encoded document (benchmarks/speed/decode_speed.py)."""


@dataclass(frozen=True, slots=True)
class Pack:
    """`bits` bits a number, row by row, lowest bit first, the last byte of a document filled with zeros.

    Array -> bytes, [m, w] integers in 0..2**bits - 1; ceil(m w bits / 8) bytes a document. Error: none.
    Raises: InputError naming the first number that does not fit.
    """

    name: ClassVar[str] = "pack"
    kind: ClassVar[Literal["layout"]] = "layout"
    bits: int

    def __post_init__(self) -> None:
        check_choice(self.name, "bits", self.bits, tuple(range(1, 65)))

    def resolve(self, spec: ArraySpec) -> None:
        """Integers, of a dtype that holds `bits` bits."""
        if spec.is_float:
            raise SpecError(f"codec 'pack' needs integers, got {spec.dtype}; 'drive' packs floats")
        if (largest := int(np.iinfo(spec.dtype).max)) < (1 << self.bits) - 1:
            raise SpecError(f"codec 'pack': bits={self.bits}, but {spec.dtype} numbers end at {largest}")

    def nbytes(self, spec: ArraySpec, rows: Count) -> Count:
        """Numbers times bits, rounded up to a byte."""
        return -(-rows * spec.columns * self.bits // 8)

    def encode(self, matrix: Array) -> bytes:
        """Pack, or raise InputError naming the first number that does not fit."""
        wrong = (matrix < 0) | (matrix > (1 << self.bits) - 1)
        if wrong.any():
            row, column = (int(place) for place in np.argwhere(wrong)[0])
            raise InputError(f"value {matrix[row, column]} at row {row}, column {column} does not fit in {self.bits} bits")
        if self.bits <= WIDEST and loading.pays(SAVED_PACKING):
            return write_stream(np.ascontiguousarray(matrix).reshape(-1), self.bits).tobytes()
        numbers = np.zeros(-(-matrix.size // GROUP) * GROUP, np.min_scalar_type((1 << self.bits) - 1))
        numbers[: matrix.size] = matrix.ravel()
        packed = pack_bits(numbers.reshape(-1, GROUP).T, self.bits)
        return packed.T.tobytes()[: -(-matrix.size * self.bits // 8)]

    def decode(self, data: npt.NDArray[np.uint8], spec: ArraySpec, rows: npt.NDArray[np.int64]) -> Array:
        """All documents at once: each is filled up to whole groups of 8 numbers, and cut after unpacking."""
        sizes = rows * spec.columns
        if self.bits <= WIDEST and loading.pays(SAVED * int(sizes.sum())):
            return read_streams(data, self.bits, sizes, spec.dtype).reshape(-1, spec.columns)
        groups = filled(data, self.nbytes(spec, rows), self.bits).reshape(-1, self.bits)
        numbers = unpack_bits(groups.T, self.bits).T.reshape(-1).astype(spec.dtype, copy=False)
        return unfilled(numbers, sizes, GROUP).reshape(-1, spec.columns)

    def lossless(self, spec: ArraySpec) -> bool:
        """Always."""
        return True

    def bound(self, x: Array) -> Bound:
        """Nothing is lost, [r, 1]."""
        return np.zeros((len(x), 1))
