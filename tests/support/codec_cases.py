"""Settings of every codec and the specs that each must handle; a new codec adds a line here."""

from __future__ import annotations

import numpy as np

from lateint_store import ArraySpec, Part, part

_FLOATS = [ArraySpec("float32", 5), ArraySpec("float16", 6), ArraySpec("float32", 7, "one")]
_INTEGERS = [ArraySpec("int64", None), ArraySpec("uint8", 3)]
_POWERS = [ArraySpec("float32", 8), ArraySpec("float16", 64), ArraySpec("float32", 16, "one")]
_BLOCKS = [ArraySpec("float32", 70), ArraySpec("float16", 100), ArraySpec("float32", 7, "one")]


def settings(name: str) -> list[tuple[Part, list[ArraySpec]]]:
    """Configurations of a codec, each with the specs that it takes."""
    known = {
        "cast": [
            (part("cast", dtype="float16"), _FLOATS),
            (part("cast", dtype="float32"), _FLOATS),
            (part("cast", dtype="uint16"), _INTEGERS),
            (part("cast", dtype="int32"), _INTEGERS),
        ],
        "int8": [(part("int8", scale=scale), _FLOATS) for scale in ("float32", "float16")],
        "int4": [(part("int4", scale=scale), _FLOATS) for scale in ("float32", "float16")],
        "drive": [
            (part("drive", bits=1), _BLOCKS),
            (part("drive", bits=1, scale="unbiased", seed=1), _BLOCKS),
            (part("drive", bits=6), _BLOCKS),
            (part("drive", bits=3, scale="unbiased", scale_dtype="float16"), _BLOCKS),
        ],
        "rotated": [
            (part("rotated", bits=1, scale="none"), _POWERS),
            (part("rotated", bits=2), _POWERS),
            (part("rotated", bits=3, scale="float32", seed=1), _POWERS),
            (part("rotated", bits=8, scale="float32"), _POWERS),
        ],
        "pack": [
            (part("pack", bits=8), [ArraySpec("uint8", 3)]),
            (part("pack", bits=17), [ArraySpec("int64", None), ArraySpec("uint32", 3), ArraySpec("int32", 5, "one")]),
            (part("pack", bits=63), [ArraySpec("int64", 2), ArraySpec("uint64", None)]),
        ],
        "raw": [(part("raw"), [*_FLOATS, *_INTEGERS])],
        "zstd": [(part("zstd", level=level, checksum=level < 5), [*_FLOATS, *_INTEGERS]) for level in (1, 9)],
        "checksum": [(part("checksum"), [*_FLOATS, *_INTEGERS])],
    }
    return known[name]


def example(spec: ArraySpec, rows: int, seed: int = 0) -> np.ndarray:
    """An array of a spec: floats of very different magnitudes with one row of zeros, or integers below 40,000."""
    rng = np.random.default_rng(seed)
    shape = spec.shape(rows)
    if not spec.is_float:
        return rng.integers(0, min(40_000, np.iinfo(spec.dtype).max), shape).astype(spec.dtype)
    values = rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 3, (*shape[:-1], 1))
    if spec.rows == "tokens" and rows > 1:
        values[1] = 0
    return values.astype(spec.dtype)
