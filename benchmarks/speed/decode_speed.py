"""What do kernels save where stored bytes become numbers, and numbers bytes? Against the numpy code of the same codec.

Denominator: `Pipeline.decode_many`, or `array_bytes`, of 1,000 documents of 40 to 100 rows by numpy, in the same run.
Numerator: the same call by the kernels, which must give the same bits. Decoding takes all documents at once, as ranking does;
encoding 100 at a time. Pairs of runs, one after the other; processor time of one thread, medians, the ratio of each pair.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import _harness
from lateint_store import ArraySpec, Pipeline, parse_codecs
from lateint_store.kernels import dispatch as loading
from lateint_store.ragged import Payloads

CASES = [("float32", width, f"drive:{bits}") for width in (384, 128, 16) for bits in (1, 4, 6)]
CASES += [("float32", width, codec) for width in (384, 64) for codec in ("int8", "int4")]
CASES += [("float16", 64, codec) for codec in ("drive:4", "int8", "int4")]
CASES += [("int64", None, "pack:12"), ("int64", None, "pack:16")]
DOCUMENTS, ENCODED = 1_000, 100


def documents(spec: ArraySpec) -> list[Any]:
    """Arrays of a spec, of numbers that fit whatever the codec."""
    rng = np.random.default_rng(0)
    rows = rng.integers(40, 101, DOCUMENTS)
    numbers = rng.standard_normal(spec.shape(100)) if spec.is_float else rng.integers(0, 1 << 12, 100)
    return [(numbers[:count] * (1.5 if spec.is_float else 1)).astype(spec.dtype) for count in rows]


def by(work: Callable[[], Any], used: bool) -> Any:
    """What it gives with or without kernels."""
    with mock.patch.object(loading, "worth_compiling", lambda saved: used):
        return work()


def milliseconds(work: Callable[[], Any], used: bool) -> float:
    """Processor time; what was made is given back before the next run takes memory."""
    start = time.process_time()
    by(work, used)
    return 1e3 * (time.process_time() - start)


def paired(work: Callable[[], Any], same: Callable[[Any, Any], bool], pairs: int) -> dict[str, float]:
    """Medians of alternating runs, and the ratio of the fastest, after one of each."""
    if not same(by(work, True), by(work, False)):
        raise AssertionError("the two do not agree")
    taken = [(milliseconds(work, False), milliseconds(work, True)) for _ in range(pairs)]
    numpy_ms, kernel_ms = (statistics.median(column) for column in zip(*taken, strict=True))
    least = [min(column) for column in zip(*taken, strict=True)]
    ratio = statistics.median(kernel / plain for plain, kernel in taken)
    found = {"numpy_ms": numpy_ms, "kernel_ms": kernel_ms, "ratio": ratio, "least_ratio": least[1] / least[0]}
    return {name: round(value, 3) for name, value in found.items()}


def measure(dtype: str, width: int | None, codec: str, pairs: int) -> dict[str, Any]:
    """One codec, both ways."""
    pipeline = Pipeline(ArraySpec(dtype, width), parse_codecs(f"states={codec}")["states"])
    arrays = documents(pipeline.spec)
    counts = np.array([len(one) for one in arrays])

    def encode() -> Sequence[bytes]:
        groups = (arrays[start : start + ENCODED] for start in range(0, DOCUMENTS, ENCODED))
        return [data for some in groups for data in pipeline.array_bytes(some)]

    payloads = Payloads.join(encode())
    decoding = paired(lambda: pipeline.decode_many(payloads, counts).values, np.array_equal, pairs)
    encoding = paired(encode, lambda a, b: a == b, max(1, pairs // 4))
    numbers = int(counts.sum()) * pipeline.spec.columns
    about = {"codec": codec, "dtype": dtype, "width": width, "numbers": numbers, "bytes": len(payloads.data)}
    return about | {"decode": decoding, "encode": encoding}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    }
    print(f"written to {_harness.write('decode_speed', result | {'cases': rows})}")


if __name__ == "__main__":
    main()
