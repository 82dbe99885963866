"""Arrays of different lengths, one per document, in one block of memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from lateint_store.spec import Array, ArraySpec

Sizes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """One named array of n documents, concatenated.

    `values`: [sum(rows), width], or [sum(rows)] for a spec without width; [n, width] with one vector per document.
    `offsets`: int64 [n + 1]. `self[i]` is document i, the view `values[offsets[i]:offsets[i + 1]]`; with one vector per
    document, it has shape [width].
    """

    values: Array
    offsets: npt.NDArray[np.int64]
    spec: ArraySpec

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Array:
        if not 0 <= index < len(self):
            raise IndexError(f"document {index} of {len(self)}")
        if self.spec.rows == "one":
            row: Array = self.values[index]
            return row
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[Array]:
        values = self.values
        if self.spec.rows == "one":
            return iter(values)
        return (values[start:end] for start, end in pairwise(self.offsets.tolist()))


def filled(data: Array, sizes: Sizes, group: int) -> Array:
    """Pad each of n pieces with zeros to a multiple of `group`: [sum(sizes)] -> [sum of padded sizes]; `sizes` int64 [n]."""
    whole = -(-sizes // group) * group
    if np.array_equal(whole, sizes):
        return data
    wide = np.zeros(int(whole.sum()), data.dtype)
    for target, source in zip(_pieces(whole, sizes), _pieces(sizes, sizes), strict=True):
        wide[target] = data[source]
    return wide


def unfilled(data: Array, sizes: Sizes, group: int) -> Array:
    """Remove the padding that `filled` adds."""
    whole = -(-sizes // group) * group
    if np.array_equal(whole, sizes):
        return data
    return np.concatenate([data[piece] for piece in _pieces(whole, sizes)])


def _pieces(room: Sizes, sizes: Sizes) -> Iterator[slice]:
    """Slices of pieces of `sizes`, each at the start of its `room`."""
    starts = np.cumsum(room) - room
    return map(slice, starts.tolist(), (starts + sizes).tolist())


@dataclass(frozen=True, slots=True, eq=False)
class Payloads(Sequence[bytes]):
    """Encoded bytes of one array of k documents, concatenated.

    `data`: uint8 [total], writable; `offsets`: int64 [k + 1]. Document i is `data[offsets[i]:offsets[i + 1]]`; `self[i]`
    is a copy of it as bytes.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def join(cls, pieces: Sequence[bytes | memoryview]) -> Payloads:
        """Copy many pieces of bytes into one array. Cost: one copy, and a fraction of a microsecond per piece."""
        offsets = np.fromiter(accumulate(map(len, pieces), initial=0), np.int64, len(pieces) + 1)
        return cls(np.frombuffer(bytearray().join(pieces), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> bytes:  # type: ignore[override]  # slices are not supported
        if not 0 <= index < len(self):
            raise IndexError(f"document {index} of {len(self)}")
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def views(self) -> Iterable[memoryview]:
        """The bytes of each document, without a copy."""
        view = self.data.data
        return (view[start:end] for start, end in pairwise(self.offsets.tolist()))
