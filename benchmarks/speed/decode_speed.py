"""How much time do kernels save when stored bytes become numbers, and numbers bytes? Against numpy code of the same codec.

Numerator: `Pipeline.decode_many`, or `array_bytes`, of 1,000 documents of 40 to 100 rows by the kernels. Denominator: the same
call by numpy, in the same run, which must give the same bits. Decoding takes all documents at once, as ranking does; encoding
takes 100 at a time. Runs alternate; processor time of the process, medians, and the median of the ratios of pairs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks import _harness
from lateint_store import ArraySpec, Pipeline, parse_codecs
from lateint_store.kernels import dispatch
from lateint_store.ragged import Payloads

CASES: list[tuple[str, int | None, str]] = [
    *(("float32", width, f"drive:{bits}") for width in (384, 128, 16) for bits in (1, 4, 6)),
    *(("float32", width, codec) for width in (384, 64) for codec in ("int8", "int4")),
    *(("float16", 64, codec) for codec in ("drive:4", "int8", "int4")),
    *(("int64", None, codec) for codec in ("pack:12", "pack:16")),
]
DOCUMENTS, ENCODED_AT_ONCE = 1_000, 100


def documents(spec: ArraySpec) -> list[NDArray[Any]]:
    """Arrays of a spec, 40 to 100 rows each; integers fit 12 bits, so that every codec takes them."""
    rng = np.random.default_rng(0)
    rows = rng.integers(40, 101, DOCUMENTS)
    numbers = rng.standard_normal(spec.shape(100)) if spec.is_float else rng.integers(0, 1 << 12, 100)
    return [(numbers[:count] * (1.5 if spec.is_float else 1)).astype(spec.dtype) for count in rows]


def with_kernels(work: Callable[[], Any], used: bool) -> Any:
    """Run `work` with kernels, or with numpy if not `used`."""
    with mock.patch.object(dispatch, "worth_compiling", lambda saved: used):
        return work()


def compare(work: Callable[[], Any], same: Callable[[Any, Any], bool], pairs: int) -> dict[str, float]:
    """Alternate between numpy and kernels: medians, the median ratio, and the ratio of the fastest runs.

    Raises: AssertionError if the two results differ.
    """
    if not same(with_kernels(work, True), with_kernels(work, False)):
        raise AssertionError("kernels and numpy differ")

    def clocked(used: bool) -> float:
        return _harness.milliseconds(partial(with_kernels, work, used), time.process_time)

    times = _harness.alternate({"numpy_ms": partial(clocked, False), "kernel_ms": partial(clocked, True)}, pairs)
    row = _harness.medians(times)
    row["ratio"] = _harness.median_ratio(times["kernel_ms"], times["numpy_ms"])
    row["least_ratio"] = min(times["kernel_ms"]) / min(times["numpy_ms"])
    return {name: round(value, 3) for name, value in row.items()}


def measure(dtype: str, width: int | None, codec: str, pairs: int) -> dict[str, Any]:
    """Decoding and encoding by one codec."""
    pipeline = Pipeline(ArraySpec(dtype, width), parse_codecs(f"states={codec}")["states"])
    arrays = documents(pipeline.spec)
    counts = np.array([len(array) for array in arrays])

    def encode() -> Sequence[bytes]:
        groups = (arrays[start : start + ENCODED_AT_ONCE] for start in range(0, DOCUMENTS, ENCODED_AT_ONCE))
        return [data for group in groups for data in pipeline.array_bytes(group)]

    payloads = Payloads.join(encode())
    decoding = compare(lambda: pipeline.decode_many(payloads, counts).values, np.array_equal, pairs)
    encoding = compare(encode, lambda a, b: bool(a == b), max(1, pairs // 4))
    numbers = int(counts.sum()) * pipeline.spec.columns
    about = {"codec": codec, "dtype": dtype, "width": width, "numbers": numbers, "bytes": len(payloads.data)}
    return about | {"decode": decoding, "encode": encoding}


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--pairs", type=int, default=20, help="paired runs of a case; medians are printed")
    options = parser.parse_args()
    rows = []
    print(f"{'codec':<8} {'dtype':<8} {'width':>5}   numpy, kernel, ratio, ratio of the fastest: decoding, then encoding")
    for case in CASES:
        rows.append(row := measure(*case, options.pairs))
        shown = "{numpy_ms:>8.2f} ms {kernel_ms:>8.2f} {ratio:>6.3f} ({least_ratio:.3f})"
        times = "   ".join(shown.format(**row[way]) for way in ("decode", "encode"))
        print(f"{row['codec']:<8} {row['dtype']:<8} {row['width'] or 1:>5}   {times}", flush=True)
    result = {
        "claim": f"decode and encode {DOCUMENTS} documents of 40 to 100 rows by kernels, one thread",
        "denominator": "the same calls by numpy, in pairs of runs",
        "command": "python -m benchmarks.speed.decode_speed",
        "pairs": options.pairs,
        "cases": rows,
    }
    _harness.save("decode_speed", result)


if __name__ == "__main__":
    main()
