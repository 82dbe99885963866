"""How long does it take to re-rank 1,000 candidates? Cached methods against sentence-transformers' CrossEncoder.

Denominator: CrossEncoder over the same backbone (all-MiniLM-L6-v2 with a fresh one-label head), fp32, its best of several
batch sizes, the same texts, the same cores, in the same process and run. Both sides are warmed up; every query is new.
Numerator: `Ranker.rank` by id, everything included: query, fetch, decode, compute. Only time is measured here; quality of
trained checkpoints is in docs/results.md (the heads of the presets below are fresh: their arithmetic is what counts).
Texts: 1,000 passages of the standard library's documentation; queries: the demo's development questions.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import machine
import torch

import lateint
from lateint.hub import locate
from lateint_eval.datasets.stdlib import build_passages
from lateint_eval.datasets.stdlib_questions import load_questions

BATCH_SIZES = (16, 32, 64, 128)
METHODS = ("default", "cosine", "colbert", "mice", "prettr")


def milliseconds(work: Callable[[], Any]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


def cross_encoder(texts: list[str], questions: list[str]) -> tuple[Any, int]:
    """The peer at its best batch size, found on one query each."""
    from sentence_transformers import CrossEncoder

    torch.manual_seed(0)
    peer = CrossEncoder(str(locate("all-MiniLM-L6-v2")), num_labels=1, max_length=288, device="cpu")
    sample = texts[:200]
    times = {
        size: milliseconds(lambda size=size: peer.predict([(questions[0], t) for t in sample], batch_size=size))
        for size in BATCH_SIZES
    }
    times = {
        size: min(
            ms, milliseconds(lambda size=size: peer.predict([(questions[0], t) for t in sample], batch_size=size))
        )
        for size, ms in times.items()
    }
    return peer, min(times, key=lambda size: times[size])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=5, help="alternating pairs of peer and method")
    options = parser.parse_args()
    passages = build_passages()[: options.candidates]
    documents = [lateint.Document(p.id, p.text, p.title) for p in passages]
    texts, ids = [d.full_text for d in documents], [d.id for d in documents]
    asked = [q.text for q in load_questions("dev", {p.id for p in build_passages()}).kept]
    peer, size = cross_encoder(texts, asked)
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        rankers = {name: ranker(name, documents, Path(folder) / name) for name in METHODS}
        questions = cycle(asked[1:])
        for warm in rankers.values():
            warm.rank(next(questions), ids)
        slow, fast, parts = [], {name: [] for name in METHODS}, {name: [] for name in METHODS}
        for _ in range(options.pairs):
            query = next(questions)
            slow.append(milliseconds(lambda query=query: peer.predict([(query, t) for t in texts], batch_size=size)))
            for name, one in rankers.items():
                for _ in range(3):
                    timing = one.rank(next(questions), ids).timing
                    fast[name].append(timing.total_ms)
                    parts[name].append((timing.fetch_ms, timing.decode_ms, timing.compute_ms))
        for name, one in rankers.items():
            median = statistics.median(fast[name])
            fetch, decode, compute = (statistics.median(p[i] for p in parts[name]) for i in range(3))
            rows[name] = {
                "total_ms": median,
                "fetch_ms": fetch,
                "decode_ms": decode,
                "compute_ms": compute,
                "speedup": statistics.median(slow) / median,
                "bytes_per_document": one.store.info()["bytes"] / len(one.store),
            }
            print(
                f"{name:<10} {median:9.1f} ms  {rows[name]['speedup']:7.1f}x  fetch {fetch:.1f} decode {decode:.1f} compute {compute:.1f}"
            )
    result = {
        "claim": f"re-rank {len(ids)} cached candidates by id, end to end",
        "denominator": "sentence-transformers CrossEncoder, same backbone, fp32, best batch size, same texts and cores",
        "candidates": len(ids),
        "threads": torch.get_num_threads(),
        "pairs": options.pairs,
        "cross_encoder_ms": statistics.median(slow),
        "cross_encoder_batch_size": size,
        "methods": rows,
        "command": "python benchmarks/rerank_speed.py",
    }
    print(
        f"CrossEncoder {statistics.median(slow):.0f} ms at batch size {size}; written to {machine.write('rerank_speed', result)}"
    )


def ranker(name: str, documents: list[Any], path: Path) -> Any:
    """A ranker over a fresh store."""
    model = lateint.load_model() if name == "default" else lateint.load_model("all-MiniLM-L6-v2", method=name)
    return lateint.Ranker(model, lateint.build_store(model, documents, path))


if __name__ == "__main__":
    main()
