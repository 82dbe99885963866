"""Unsigned integers packed without the bits that are always zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from lateint_store.codecs.codec import Bound, Count, check_choice
from lateint_store.errors import InputError, SpecError
from lateint_store.kernels.dispatch import with_kernel
from lateint_store.kernels.stream import WIDEST, read_streams, write_stream
from lateint_store.numerics.bits import GROUP, pack_bits, unpack_bits
from lateint_store.ragged import filled, unfilled
from lateint_store.spec import Array, ArraySpec


@dataclass(frozen=True, slots=True)
class Pack:
    """`bits` bits per number, row by row, lowest bit first; zeros fill the last byte of a document.

    Array -> bytes. [m, w] integers in 0..2**bits - 1; ceil(m w bits / 8) bytes per document. Error: none.
    Raises: InputError naming the first number that does not fit.
    """

    name: ClassVar[str] = "pack"
    kind: ClassVar[Literal["layout"]] = "layout"
    bits: int

    def __post_init__(self) -> None:
        check_choice(self.name, "bits", self.bits, tuple(range(1, 65)))

    def resolve(self, spec: ArraySpec) -> None:
        """Accept integers of a dtype with at least `bits` bits. Raises: SpecError for anything else."""
        if spec.is_float:
            raise SpecError(f"codec 'pack' needs integers, got {spec.dtype}; 'drive' packs floats")
        if (largest := int(np.iinfo(spec.dtype).max)) < (1 << self.bits) - 1:
            raise SpecError(f"codec 'pack': bits={self.bits}, but {spec.dtype} numbers end at {largest}")

    def nbytes(self, spec: ArraySpec, rows: Count) -> Count:
        """Numbers times bits, rounded up to whole bytes."""
        return -(-rows * spec.columns * self.bits // 8)

    def encode(self, matrix: Array) -> bytes:
        """Pack, or raise InputError naming the first number that does not fit."""
        wrong = (matrix < 0) | (matrix > (1 << self.bits) - 1)
        if wrong.any():
            row, column = (int(index) for index in np.argwhere(wrong)[0])
            raise InputError(f"value {matrix[row, column]} at row {row}, column {column} does not fit in {self.bits} bits")
        numbers = np.ascontiguousarray(matrix).reshape(-1)
        if self.bits > WIDEST:
            return _write.reference(numbers, self.bits).tobytes()
        return _write(1, numbers, self.bits).tobytes()

    def decode(self, data: npt.NDArray[np.uint8], spec: ArraySpec, rows: npt.NDArray[np.int64]) -> Array:
        """Unpack all documents at once."""
        sizes = rows * spec.columns
        if self.bits > WIDEST:
            return _read.reference(data, self.bits, sizes, spec.dtype).reshape(-1, spec.columns)
        return _read(int(sizes.sum()), data, self.bits, sizes, spec.dtype).reshape(-1, spec.columns)

    def lossless(self, spec: ArraySpec) -> bool:
        """Always."""
        return True

    def bound(self, x: Array) -> Bound:
        """Zero: nothing is lost, [r, 1]."""
        return np.zeros((len(x), 1))


# Nanoseconds saved per encoded document and per decoded number: benchmarks/speed/decode_speed.py.


@with_kernel(write_stream, saved_ns=3e4)
def _write(numbers: Array, bits: int) -> npt.NDArray[np.uint8]:
    """Pack one document: integers [k] below 2**bits -> uint8 [ceil(k * bits / 8)]."""
    groups = np.zeros(-(-len(numbers) // GROUP) * GROUP, np.min_scalar_type((1 << bits) - 1))
    groups[: len(numbers)] = numbers
    packed = pack_bits(groups.reshape(-1, GROUP).T, bits)
    return np.ascontiguousarray(packed.T).reshape(-1)[: -(-len(numbers) * bits // 8)]


@with_kernel(read_streams, saved_ns=9.0)
def _read(data: npt.NDArray[np.uint8], bits: int, sizes: npt.NDArray[np.int64], dtype: str) -> Array:
    """Unpack documents of `sizes` numbers: [sum(sizes)]. Each is padded to whole groups of 8 numbers and cut afterwards."""
    groups = filled(data, -(-sizes * bits // 8), bits).reshape(-1, bits)
    numbers = unpack_bits(groups.T, bits).T.reshape(-1).astype(dtype, copy=False)
    return unfilled(numbers, sizes, GROUP)
