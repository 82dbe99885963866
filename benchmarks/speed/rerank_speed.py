"""How long does it take to re-rank 1,000 candidates? Cached methods against sentence-transformers' CrossEncoder.

Numerator: `Ranker.rank` by id, everything included: query, fetch, decode, compute. Denominators, over the same texts, on the
same cores, in the same run, each at its best of several batch sizes: CrossEncoder over the same backbone (all-MiniLM-L6-v2
with a fresh one-label head), float32; and what users run for speed, the int8 graph of ms-marco-MiniLM-L12-v2 under
onnxruntime. A speed-up says how many times faster the numerator is, by medians. All sides are warmed up, and consecutive
calls have different queries. Only time is measured here; quality is in docs/results.md (the heads of the presets below are
fresh: only their arithmetic counts).
Texts: 1,000 passages of the standard library's documentation; queries: the demo's development questions.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

import lateint
from benchmarks import _harness
from benchmarks._harness import BASE
from benchmarks._peers import RERANKER, CrossEncoderPeer, OnnxPeer, Peer

PARTS = ("fetch_ms", "decode_ms", "compute_ms")
SHIPPED, METHODS = ("latent",), ("cosine", "colbert", "mice", "prettr")
CALLS_A_PAIR, SLOW_MS = 3, 1_000


def summary(store: Any, timings: Sequence[lateint.Timing], peers: Mapping[str, float]) -> dict[str, float]:
    """Medians of a method's calls, its speed-up over each peer, and bytes a document; `peers`: milliseconds by key."""
    parts = {part: statistics.median(getattr(timing, part) for timing in timings) for part in PARTS}
    total = statistics.median(timing.total_ms for timing in timings)
    size = store.info()["bytes"] / len(store)
    speedups = {key: milliseconds / total for key, milliseconds in peers.items()}
    return parts | {"total_ms": total} | speedups | {"bytes_per_document": size}


def run(
    models: Mapping[str, lateint.Model], backbone: str, candidates: int, pairs: int, folder: Path, *, onnx: bool = False
) -> dict[str, Any]:
    """Alternate between the peers and the models, whose stores are built in `folder`; the whole result.

    Peers: CrossEncoder over this backbone; with `onnx` also the int8 reranker.
    """
    documents, questions = _harness.library_documents(candidates), cycle(_harness.library_questions())
    ids, texts = [document.id for document in documents], [document.full_text for document in documents]
    peers: dict[str, Peer] = {"speedup": CrossEncoderPeer(backbone, texts, next(questions))}
    if onnx:
        peers["speedup_onnx"] = OnnxPeer(texts, next(questions))
    stores: dict[str, Any] = {name: lateint.build_store(model, documents, folder / name) for name, model in models.items()}
    rankers = {name: lateint.Ranker(model, stores[name]) for name, model in models.items()}
    for ranker in rankers.values():
        ranker.warm_up(next(questions), ids)
    peer_times, timings = _alternate(peers, rankers, ids, questions, pairs)
    medians = _harness.medians(peer_times)
    rows = {name: summary(stores[name], timings[name], medians) for name in rankers}
    for store in stores.values():
        store.close()
    names = {"speedup": "cross_encoder", "speedup_onnx": "onnx_reranker"}
    return {
        "claim": f"re-rank {len(ids)} cached candidates by id, end to end",
        "denominator": "sentence-transformers CrossEncoder, same backbone, fp32, best batch size, same texts and cores",
        "denominator_onnx": f"{RERANKER}, int8, onnxruntime, best batch size, same texts and cores" if onnx else None,
        "command": "python -m benchmarks.speed.rerank_speed",
        "candidates": len(ids),
        "threads": torch.get_num_threads(),
        "pairs": pairs,
        "methods": rows,
    } | {names[key]: {"total_ms": medians[key], "batch_size": peer.batch_size} for key, peer in peers.items()}


def _alternate(
    peers: Mapping[str, Peer], rankers: Mapping[str, lateint.Ranker], ids: list[str], questions: Iterator[str], pairs: int
) -> tuple[dict[str, list[float]], dict[str, list[lateint.Timing]]]:
    """Time peers and rankers in turn, `pairs` times; fast rankers several times a turn. Milliseconds of peers, timings."""
    warm = {name: ranker.rank(next(questions), ids).timing.total_ms for name, ranker in rankers.items()}
    peer_times: dict[str, list[float]] = {key: [] for key in peers}
    timings: dict[str, list[lateint.Timing]] = {name: [] for name in rankers}
    for _ in range(pairs):
        for key, peer in peers.items():
            peer_times[key].append(peer.milliseconds(next(questions)))
        for name, ranker in rankers.items():
            calls = CALLS_A_PAIR if warm[name] < SLOW_MS else 1
            timings[name] += [ranker.rank(next(questions), ids).timing for _ in range(calls)]
    return peer_times, timings


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--candidates", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=5, help="alternating pairs of peer and methods")
    options = parser.parse_args()
    models = {name: lateint.load_model(name) for name in SHIPPED}
    models |= {name: lateint.load_model(BASE, method=name) for name in METHODS}
    with tempfile.TemporaryDirectory() as folder:
        result = run(models, BASE, options.candidates, options.pairs, Path(folder), onnx=True)
    for label, key in (("CrossEncoder", "cross_encoder"), ("onnxruntime int8", "onnx_reranker")):
        print(f"{label} {result[key]['total_ms']:.0f} ms, batch size {result[key]['batch_size']}")
    for name, row in result["methods"].items():
        parts = "  ".join(f"{part[:-3]} {row[part]:.1f}" for part in PARTS)
        size = f"{row['bytes_per_document']:,.0f} B"
        print(f"{name:<10} {row['total_ms']:8.1f} ms {row['speedup']:7.1f}x {row['speedup_onnx']:7.1f}x  {parts}  {size}")
    _harness.save("rerank_speed", result)


if __name__ == "__main__":
    main()
