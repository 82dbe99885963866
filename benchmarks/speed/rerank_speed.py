"""How long does it take to re-rank 1,000 candidates? Cached methods against sentence-transformers' CrossEncoder.

Denominator: CrossEncoder over the same backbone (all-MiniLM-L6-v2 with a fresh one-label head), fp32, its best of
several batch sizes, the same texts, the same cores, in the same run. Both sides are warmed up; every query is new.
Numerator: `Ranker.rank` by id, everything included: query, fetch, decode, compute. Only time is measured here; quality
is in docs/results.md (the heads of the presets below are fresh: their arithmetic is what counts).
Texts: 1,000 passages of the standard library's documentation; queries: the demo's development questions.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

import lateint
from benchmarks import _harness
from lateint.loading.pretrained import locate
from lateint_eval.datasets.stdlib.passages import build_passages
from lateint_eval.datasets.stdlib.questions import load_questions

PARTS = ("fetch_ms", "decode_ms", "compute_ms")
BATCH_SIZES = (16, 32, 64, 128)
BASE = "all-MiniLM-L6-v2"
SHIPPED, METHODS = ("latent", "evidence"), ("cosine", "colbert", "mice", "prettr")
CALLS_A_PAIR, SLOW_MS = 3, 1_000


def milliseconds(work: Callable[[], Any]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


def cross_encoder(backbone: str, texts: list[str], question: str) -> tuple[Callable[[str], float], int]:
    """The peer at its best batch size, found on a fifth of the texts: milliseconds of a call with all of them."""
    from sentence_transformers import CrossEncoder

    torch.manual_seed(0)
    peer = CrossEncoder(str(locate(backbone)), num_labels=1, max_length=288, device="cpu")

    def call(query: str, size: int, share: int = 1) -> float:
        pairs = [(query, text) for text in texts[::share]]
        return milliseconds(lambda: peer.predict(pairs, batch_size=size))

    call(question, BATCH_SIZES[0], 20)
    best = min(BATCH_SIZES, key=lambda size: call(question, size, 5))
    return lambda query: call(query, best), best


def summary(one: Any, timings: list[Any], slow: float) -> dict[str, float]:
    """Medians of a method's calls, and how many times faster it is than the peer."""
    parts = {part: statistics.median(getattr(t, part) for t in timings) for part in PARTS}
    total = statistics.median(t.total_ms for t in timings)
    size = one.store.info()["bytes"] / len(one.store)
    return parts | {"total_ms": total, "speedup": slow / total, "bytes_per_document": size}


def run(models: dict[str, lateint.Model], backbone: str, candidates: int, pairs: int, folder: Path) -> dict[str, Any]:
    """Alternate between the peer over this backbone and the models; the whole result."""
    passages = build_passages()
    documents = [lateint.Document(p.id, p.text, p.title) for p in passages[:candidates]]
    ids = [document.id for document in documents]
    asked: Iterator[str] = cycle(q.text for q in load_questions("dev", {p.id for p in passages}).kept)
    peer, size = cross_encoder(backbone, [document.full_text for document in documents], next(asked))
    rankers: dict[str, Any] = {
        name: lateint.Ranker(model, lateint.build_store(model, documents, folder / name)) for name, model in models.items()
    }
    for one in rankers.values():
        one.warm_up(next(asked), ids)
    warm = {name: one.rank(next(asked), ids).timing.total_ms for name, one in rankers.items()}
    slow: list[float] = []
    timings: dict[str, list[Any]] = {name: [] for name in rankers}
    for _ in range(pairs):
        slow.append(peer(next(asked)))
        for name, one in rankers.items():
            timings[name] += [one.rank(next(asked), ids).timing for _ in range(CALLS_A_PAIR if warm[name] < SLOW_MS else 1)]
    middle = statistics.median(slow)
    rows = {name: summary(one, timings[name], middle) for name, one in rankers.items()}
    for one in rankers.values():
        one.store.close()
    return {
        "claim": f"re-rank {len(ids)} cached candidates by id, end to end",
        "denominator": "sentence-transformers CrossEncoder, same backbone, fp32, best batch size, same texts and cores",
        "command": "python -m benchmarks.speed.rerank_speed",
        "candidates": len(ids),
        "threads": torch.get_num_threads(),
        "pairs": pairs,
        "cross_encoder": {"total_ms": middle, "batch_size": size},
        "methods": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=5, help="alternating pairs of peer and methods")
    options = parser.parse_args()
    models = {name: lateint.load_model(name) for name in SHIPPED}
    models |= {name: lateint.load_model(BASE, method=name) for name in METHODS}
    with tempfile.TemporaryDirectory() as folder:
        result = run(models, BASE, options.candidates, options.pairs, Path(folder))
    peer = result["cross_encoder"]
    print(f"CrossEncoder {peer['total_ms']:.0f} ms, batch size {peer['batch_size']}")
    for name, row in result["methods"].items():
        parts = "  ".join(f"{part[:-3]} {row[part]:.1f}" for part in PARTS)
        size = f"{row['bytes_per_document']:,.0f} B"
        print(f"{name:<10} {row['total_ms']:8.1f} ms {row['speedup']:7.1f}x  {parts}  {size}")
    print(f"written to {_harness.write('rerank_speed', result)}")


if __name__ == "__main__":
    main()
