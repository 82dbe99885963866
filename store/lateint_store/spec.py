"""`ArraySpec`: dtype and width of one named array of an entry, and whether it has one row per token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lateint_store.errors import InputError, SpecError

Array = npt.NDArray[Any]
RowKind = Literal["tokens", "one"]

DTYPES = ("float16", "float32", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """Dtype and shape of one array of an entry; m is the number of tokens of the document.

    `rows="tokens"`: [m, width], or [m] if `width` is None. `rows="one"`: one vector per document, [width].
    Inside a pipeline every array is two-dimensional, [rows, columns].
    """

    dtype: str
    width: int | None
    rows: RowKind = "tokens"

    def __post_init__(self) -> None:
        if not isinstance(self.dtype, str) or self.dtype not in DTYPES:
            raise SpecError(f"array dtype {self.dtype!r} is not one of {', '.join(DTYPES)}")
        if not isinstance(self.rows, str) or self.rows not in ("tokens", "one"):
            raise SpecError(f"array rows {self.rows!r} is neither 'tokens' nor 'one'")
        if self.width is None and self.rows == "one":
            raise SpecError("an array with rows='one' needs a width, the length of its vector")
        whole = isinstance(self.width, int) and not isinstance(self.width, bool)
        if self.width is not None and not (whole and 1 <= self.width <= 1 << 20):
            raise SpecError(f"array width {self.width!r} is not between 1 and {1 << 20}")

    @property
    def columns(self) -> int:
        """Columns of the two-dimensional form."""
        return 1 if self.width is None else self.width

    @property
    def is_float(self) -> bool:
        """True for float16 and float32."""
        return self.dtype.startswith("float")

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The little-endian numpy dtype."""
        return np.dtype(self.dtype).newbyteorder("<")

    def shape(self, rows: int) -> tuple[int, ...]:
        """Shape of the array of a document of `rows` rows, as `Store.get` returns it."""
        if self.rows == "one":
            return (self.columns,)
        return (rows,) if self.width is None else (rows, self.width)

    def as_matrix(self, array: Array) -> Array:
        """Check dtype, shape and finiteness, and view the array as [rows, columns].

        Raises: InputError naming the difference, or row and column of the first value that is not finite.
        """
        expected = "[m]" if self.width is None else f"[{self.width}]" if self.rows == "one" else f"[m, {self.width}]"
        if not isinstance(array, np.ndarray) or array.dtype != np.dtype(self.dtype):
            found = str(array.dtype) if isinstance(array, np.ndarray) else type(array).__name__
            raise InputError(f"an array of dtype {found} where the store expects {self.dtype} {expected}")
        dimensions = 1 if self.width is None or self.rows == "one" else 2
        if array.ndim != dimensions or (self.width is not None and array.shape[-1] != self.width):
            raise InputError(f"an array of shape {list(array.shape)} where the store expects {expected}")
        matrix = array.reshape(1, self.columns) if self.rows == "one" else array.reshape(len(array), self.columns)
        if self.is_float:
            check_finite(matrix)
        return matrix

    def to_json(self) -> dict[str, Any]:
        """The form stored in a manifest."""
        return {"dtype": self.dtype, "width": self.width, "rows": self.rows}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ArraySpec:
        """The inverse of `to_json`. Raises: SpecError for other keys."""
        if not isinstance(data, dict) or set(data) != {"dtype", "width", "rows"}:
            raise SpecError(f"not an array specification: {data!r}; expected dtype, width and rows")
        return cls(**data)


def check_finite(matrix: Array) -> None:
    """Raise InputError naming the first value of [rows, columns] that is NaN or infinite."""
    finite = np.isfinite(matrix)
    if not finite.all():
        row, column = (int(index) for index in np.argwhere(~finite)[0])
        raise InputError(
            f"value {matrix[row, column]} at row {row}, column {column} is not finite: what computed it in {matrix.dtype} or "
            "narrower overflowed (float32 has a wider range than float16), or has damaged weights"
        )
