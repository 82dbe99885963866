"""Arrays of many documents in one piece of memory."""

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
    """One named array of n documents, stacked.

    `values`: [sum(rows), width], or [sum(rows)] for a spec without width; [n, width] where a document has one vector.
    `offsets`: int64 [n + 1]; document i is `values[offsets[i]:offsets[i + 1]]`, which is what `self[i]` gives
    (a view; [width] where a document has one vector).
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
        return (self[index] for index in range(len(self)))


def filled(data: Array, sizes: Sizes, group: int) -> Array:
    """Put zeros behind each of many pieces so that it ends with a whole group: [sum(sizes)] -> [sum of whole groups]."""
    whole = -(-sizes // group) * group
    if np.array_equal(whole, sizes):
        return data
    wide = np.zeros(int(whole.sum()), data.dtype)
    for target, source in zip(_pieces(whole, sizes), _pieces(sizes, sizes), strict=True):
        wide[target] = data[source]
    return wide


def unfilled(data: Array, sizes: Sizes, group: int) -> Array:
    """The inverse of `filled`: many pieces, each filled up to whole groups, without the filling."""
    whole = -(-sizes // group) * group
    if np.array_equal(whole, sizes):
        return data
    return np.concatenate([data[piece] for piece in _pieces(whole, sizes)])


def _pieces(room: Sizes, sizes: Sizes) -> Iterator[slice]:
    """Where pieces of `sizes` stand, each at the beginning of its `room`."""
    starts = np.cumsum(room) - room
    return map(slice, starts.tolist(), (starts + sizes).tolist())


@dataclass(frozen=True, slots=True, eq=False)
class Payloads(Sequence[bytes]):
    """Encoded bytes of one array of k documents, one after the other in one piece of memory.

    `data`: uint8 [total], writable; `offsets`: int64 [k + 1]; document i is `data[offsets[i]:offsets[i + 1]]`, and
    `self[i]` is a copy of that as bytes.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def join(cls, pieces: Sequence[bytes | memoryview]) -> Payloads:
        """Copy pieces of bytes into one. Cost: one copy, and a fraction of a microsecond a piece."""
        offsets = np.fromiter(accumulate(map(len, pieces), initial=0), np.int64, len(pieces) + 1)
        return cls(np.frombuffer(bytearray().join(pieces), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> bytes:  # type: ignore[override]  # no slices: nobody cuts a list of payloads
        if not 0 <= index < len(self):
            raise IndexError(f"document {index} of {len(self)}")
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def views(self) -> Iterable[memoryview]:
        """The same bytes without a copy, document by document."""
        view = self.data.data
        return (view[start:end] for start, end in pairwise(self.offsets.tolist()))
