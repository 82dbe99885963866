"""Store numbers in a narrower dtype: states as float16, token ids as uint16 or uint32."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from lateint_store.codecs.codec import Bound, check_choice
from lateint_store.errors import InputError, SpecError
from lateint_store.spec import DTYPES, Array, ArraySpec


@dataclass(frozen=True, slots=True)
class Cast:
    """Convert to `dtype`. Refuse a value that does not fit, instead of wrapping it or making it infinite.

    Array -> array, [r, w] -> [r, w]. Decoded floats stay in the narrow dtype, because widening costs more than reading
    them and callers that compute widen anyway. Decoded integers have the original dtype.
    Error: float32 -> float16: |x - x'| <= max(2**-11 |x|, 2**-25). Everything else: none.
    """

    name: ClassVar[str] = "cast"
    kind: ClassVar[Literal["array"]] = "array"
    dtype: str

    def __post_init__(self) -> None:
        check_choice(self.name, "dtype", self.dtype, DTYPES)

    def resolve(self, spec: ArraySpec) -> ArraySpec:
        """The same shape in `dtype`. Raises: SpecError for float to integer or integer to float."""
        if spec.is_float != self.dtype.startswith("float"):
            raise SpecError(f"codec 'cast' does not turn {spec.dtype} into {self.dtype}: floats stay floats")
        return replace(spec, dtype=self.dtype)

    def decoded(self, spec: ArraySpec) -> ArraySpec:
        """Floats: `dtype`. Integers: the dtype of `spec`."""
        return self.resolve(spec) if spec.is_float else spec

    def encode(self, x: Array) -> Array:
        """Convert, or raise InputError naming the first value that does not fit."""
        if x.dtype.kind == "f":
            with np.errstate(over="ignore"):
                y = x.astype(self.dtype)
            wrong = ~np.isfinite(y)
        else:
            y = x.astype(self.dtype)
            wrong = (y.astype(x.dtype) != x) | ((y < 0) != (x < 0))
        if wrong.any():
            row, column = (int(index) for index in np.argwhere(wrong)[0])
            raise InputError(f"value {x[row, column]} at row {row}, column {column} does not fit in {self.dtype}")
        return y

    def decode(self, y: Array, spec: ArraySpec) -> Array:
        """Return floats as stored and integers widened to their original dtype."""
        return y.astype(self.decoded(spec).dtype, copy=False)

    def lossless(self, spec: ArraySpec) -> bool:
        """True unless a float gets narrower."""
        return not spec.is_float or np.dtype(self.dtype).itemsize >= np.dtype(spec.dtype).itemsize

    def bound(self, x: Array) -> Bound:
        """Half a unit in the last place of float16, [r, 1]."""
        largest = np.abs(x.astype(np.float64)).max(axis=1, keepdims=True, initial=0)
        if x.dtype.kind != "f" or np.dtype(self.dtype).itemsize >= x.dtype.itemsize:
            return np.zeros_like(largest)
        bound: Bound = np.maximum(largest * 2.0**-11, 2.0**-25)
        return bound
