"""Arrays of many documents in one piece of memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from lateint_store.spec import Array, ArraySpec


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


def unfilled(numbers: Array, columns: int, rows: Sequence[int], group: int) -> Array:
    """Stack documents whose numbers, row by row, were each filled up to whole groups, without the filling.

    Args: numbers [total], all documents one after the other; `rows` of each. Returns: [sum(rows), columns].
    """
    sizes = [count * columns for count in rows]
    if any(size % group for size in sizes):
        starts = accumulate((-(-size // group) * group for size in sizes), initial=0)
        numbers = np.concatenate([numbers[start : start + size] for start, size in zip(starts, sizes, strict=False)])
    return numbers.reshape(sum(rows), columns)
