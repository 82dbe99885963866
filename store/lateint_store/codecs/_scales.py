"""Scales stored behind the codes of a row: shared by `int8`, `int4`, `drive` and `rotated`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lateint_store.codecs.codec import Bound, check_choice
from lateint_store.errors import CodecError, InputError, SpecError
from lateint_store.kernels.dispatch import with_kernel
from lateint_store.kernels.scaled import row_peaks
from lateint_store.spec import Array, ArraySpec


def check_scale(codec: str, scale: str) -> None:
    """Raise SpecError unless `scale` is a dtype that can store a scale."""
    check_choice(codec, "scale", scale, ("float32", "float16"))


def scaled_spec(codec: str, spec: ArraySpec, code_bytes: int, scale: str) -> ArraySpec:
    """The uint8 spec of rows of `code_bytes` bytes of codes and a scale. Raises: SpecError unless `spec` holds floats."""
    if not spec.is_float:
        raise SpecError(f"codec {codec!r} needs float16 or float32 input, got {spec.dtype}")
    return replace(spec, dtype="uint8", width=code_bytes + np.dtype(scale).itemsize)


def row_scales(x: Array, largest: int, scale: str) -> Array:
    """The smallest scale of each row with max|row| / scale <= `largest`: float32 [r, 1], exact in dtype `scale`.

    Raises: InputError if `largest` + 1 scales overflow the dtype of x, or a scale overflows dtype `scale`.
    """
    peaks = _peaks(x.size, x)
    with np.errstate(over="ignore"):
        scales = (peaks / largest).astype(scale)
        short = scales.astype(np.float64) * largest < peaks
        scales = np.where(short, np.nextafter(scales, np.array(np.inf, scale)), scales).astype(np.float32)
    beyond = ~(scales.astype(np.float64) * (largest + 1) <= float(np.finfo(x.dtype).max))
    if beyond.any():
        row = int(np.argwhere(beyond)[0][0])
        raise InputError(f"value {peaks[row, 0]:g} in row {row} is too large for a {scale} scale of {x.dtype} numbers")
    result: Array = scales
    return result


@with_kernel(row_peaks, saved_ns=1.0)
def _peaks(x: Array) -> Array:
    """The largest absolute value in each row: float64 [r, 1]."""
    peaks: Array = np.abs(x.astype(np.float64)).max(axis=1, keepdims=True, initial=0)
    return peaks


def join_scales(codes: Array, scales: Array, scale: str) -> Array:
    """Append the bytes of the scales [r, 1], in dtype `scale`, to the codes uint8 [r, k]."""
    tail = np.ascontiguousarray(scales.astype(np.dtype(scale).newbyteorder("<"))).view(np.uint8)
    return np.concatenate([codes, tail.reshape(len(codes), np.dtype(scale).itemsize)], axis=1)


def split_scales(y: Array, code_bytes: int, scale: str, limit: float) -> tuple[Array, Array]:
    """Codes uint8 [r, code_bytes] and scales float32 [r, 1]. Raises: CodecError for a scale outside [0, limit]."""
    dtype = np.dtype(scale).newbyteorder("<")
    scales = np.ascontiguousarray(y[:, code_bytes:]).view(dtype).reshape(len(y), 1).astype(np.float32)
    if not ((scales >= 0) & (scales <= limit)).all():
        raise CodecError(f"a scale is negative, not a number, or above {limit:g}")
    return y[:, :code_bytes], scales


def scaled_bound(x: Array, largest: int, scale: str) -> Bound:
    """Error bound of each row: half a scale, float32 rounding of quotient and product, rounding to the dtype of x: [r, 1]."""
    scales = row_scales(x, largest, scale).astype(np.float64)
    ulp = np.finfo(x.dtype)
    rounding = scales * largest * float(ulp.eps) / 2 + float(ulp.smallest_subnormal)
    bound: Bound = scales * (0.5 + largest * 2.0**-23) + rounding
    return bound
