"""Numbers laid out without any change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from lateint_store.codecs.codec import Bound, Count
from lateint_store.spec import Array, ArraySpec


@dataclass(frozen=True, slots=True)
class Raw:
    """Little-endian numbers, row by row, no header. Array -> bytes. Error: none.

    The default layout of a pipeline.
    """

    name: ClassVar[str] = "raw"
    kind: ClassVar[Literal["layout"]] = "layout"

    def resolve(self, spec: ArraySpec) -> None:
        """Accept every array."""

    def nbytes(self, spec: ArraySpec, rows: Count) -> Count:
        """Rows times columns times the size of a number."""
        return rows * spec.columns * spec.numpy_dtype.itemsize

    def encode(self, matrix: Array) -> bytes:
        """C order, little-endian."""
        return matrix.astype(matrix.dtype.newbyteorder("<"), copy=False).tobytes()

    def decode(self, data: npt.NDArray[np.uint8], spec: ArraySpec, rows: npt.NDArray[np.int64]) -> Array:
        """No copy: the same memory as [sum(rows), columns]."""
        return data.view(spec.numpy_dtype).reshape(-1, spec.columns).astype(spec.dtype, copy=False)

    def lossless(self, spec: ArraySpec) -> bool:
        """Always."""
        return True

    def bound(self, x: Array) -> Bound:
        """Zero: nothing is lost, [r, 1]."""
        return np.zeros((len(x), 1))
