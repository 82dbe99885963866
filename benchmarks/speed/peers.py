"""What else do the same milliseconds buy? Two ways to rank that need no engine, beside `latent` and `colbert` of this one.

1. Multi-vector search in sentence-transformers: `MultiVectorEncoder` over the same backbone, the vectors of all candidates in
   memory as float32, `similarity` of one query with all of them. Its projection is fresh: only time counts. Against it,
   `Ranker.rank` by id from a store, with `colbert` (the same sum of maxima) and with `latent`. Printed ratios: milliseconds of
   each by those of `latent`.
2. A cross-encoder so shallow that it needs no store: the first two layers of the backbone over texts, at its best batch size.
   No checkpoint of it is trained here, so its quality is bounded from above: count the candidates that it reads in the time
   of one call of `latent`, and take nDCG@10 of a perfect order of that many (BM25's best, development pool msmarco-dl21). The
   nDCG@10 of `latent` over all 1,000 there is printed beside it; the trade-off table (`trade_off.py`) must have that row.

All alternate on the same cores, over the same 1,000 passages of the standard library's documentation; medians of `--rounds`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

import lateint
from benchmarks import _harness
from benchmarks._harness import BASE
from benchmarks._peers import CrossEncoderPeer
from benchmarks.quality import pools
from lateint.loading.packaged import locate
from lateint_eval.measures.metrics import evaluate
from lateint_eval.systems import as_run

POOL, MEASURE, LAYERS = "msmarco-dl21", "nDCG@10", 2
COUNTS = (1, 2, 4, 8, 16, 32, 64)
Call = Callable[[str], float]


def multi_vector(texts: list[str]) -> Call:
    """Milliseconds to encode a query and compare it with vectors of the texts that are in memory."""
    from sentence_transformers import MultiVectorEncoder

    torch.manual_seed(0)
    peer = MultiVectorEncoder(str(locate(BASE)), device="cpu")
    vectors = peer.encode_document(texts)
    return lambda query: _harness.milliseconds(lambda: peer.similarity([peer.encode_query(query)], vectors))


def cached(model: lateint.Model, documents: list[lateint.Document], folder: Path, stack: ExitStack) -> Call:
    """Milliseconds to rank all documents by id from a store, which `stack` closes."""
    ranker = lateint.Ranker(model, stack.enter_context(lateint.build_store(model, documents, folder)))
    ids = [document.id for document in documents]
    return lambda query: ranker.rank(query, ids).timing.total_ms


def perfect(counts: tuple[int, ...]) -> dict[int, float]:
    """nDCG@10 by count: a perfect order of BM25's best `count`, followed by the other candidates in BM25's order."""
    data = pools.pool(POOL)
    means = {}
    for count in counts:
        rankings = {}
        for query, ids in data.candidates.items():
            first = sorted(ids[:count], key=lambda doc_id: -data.qrels[query].get(doc_id, 0))
            order = [*first, *ids[count:]]
            rankings[query] = [(doc_id, float(-rank)) for rank, doc_id in enumerate(order)]
        scores = evaluate({q: data.qrels[q] for q in rankings}, as_run("perfect", rankings), [MEASURE]).scores[MEASURE]
        means[count] = round(scores.mean, 4)
    return means


def time_all(candidates: int, rounds: int) -> tuple[dict[str, float], dict[int, float]]:
    """Median milliseconds of every way to rank, and of the two-layer cross-encoder by number of texts."""
    documents, questions = _harness.library_documents(candidates), cycle(_harness.library_questions())
    texts = [document.full_text for document in documents]
    shallow = CrossEncoderPeer(BASE, texts, next(questions), layers=LAYERS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        calls = {
            "MultiVectorEncoder": multi_vector(texts),
            "latent": cached(lateint.load_model("latent"), documents, folder / "latent", stack),
            "colbert": cached(lateint.load_model(BASE, method="colbert"), documents, folder / "colbert", stack),
        }
        for call in calls.values():
            call(next(questions))
        measurements = {name: partial(_with_next, call, questions) for name, call in calls.items()}
        for count in (*COUNTS, len(texts)):
            measurements[str(count)] = partial(_with_next, partial(shallow.milliseconds, count=count), questions)
        ms = _harness.medians(_harness.alternate(measurements, rounds))
    return {name: ms[name] for name in calls}, {int(name): value for name, value in ms.items() if name not in calls}


def _with_next(call: Call, questions: Iterator[str]) -> float:
    return call(next(questions))


def measure(candidates: int, rounds: int) -> dict[str, Any]:
    """The whole result."""
    ms, two_layers = time_all(candidates, rounds)
    within = max((count for count in COUNTS if two_layers[count] <= ms["latent"]), default=0)
    table = json.loads((_harness.RESULTS / f"trade_off_{POOL}.json").read_text(encoding="utf-8"))
    return {
        "claim": f"rank {candidates} candidates, and what a cross-encoder of {LAYERS} layers could do in the time of `latent`",
        "denominator": "milliseconds of each; the same texts, cores and run",
        "command": "python -m benchmarks.speed.peers",
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "ms": ms,
        "two_layers_ms": two_layers,
        "read_in_latents_time": within,
        "perfect": {"pool": POOL, MEASURE: perfect((within, *(count for count in COUNTS if count > within)))},
        "latent": {"pool": POOL, MEASURE: table["rows"]["latent"][MEASURE]},
    }


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--candidates", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=9, help="calls of each; medians are printed")
    options = parser.parse_args()
    result = measure(options.candidates, options.rounds)
    for name, ms in result["ms"].items():
        print(f"{name:<20} {ms:8.1f} ms  {ms / result['ms']['latent']:.2f} times latent")
    print(f"two layers, ms by number of candidates: {result['two_layers_ms']}")
    print(f"candidates that two layers read in latent's time: {result['read_in_latents_time']}")
    print(f"a perfect order of that many: {result['perfect']}")
    print(f"latent on the same pool: {result['latent']}")
    _harness.save("peers", result)


if __name__ == "__main__":
    main()
