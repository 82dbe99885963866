"""What else do the same milliseconds buy? Two ways to rank that need no engine, beside `latent` and `colbert` of this one.

1. Multi-vector search as sentence-transformers has it: `MultiVectorEncoder` over the same backbone, the vectors of all
   candidates held in memory as float32, `similarity` of one query with all of them; its projection is fresh: only time counts.
   Beside it `Ranker.rank` by id out of a store, with `colbert` (the same sum of maxima) and with `latent`.
2. A cross-encoder so shallow that it needs nothing stored: the first two layers of the backbone over texts, at its best batch
   size. It has no checkpoint here, so quality is a bound: how many candidates it reads in the time of one call of `latent`,
   and what nDCG@10 a perfect order of so many would have (BM25's first ones, development pool msmarco-dl21), beside that
   which `latent` has there with all 1,000 (`trade_off.py`).

All in turn, on the same cores, over the same 1,000 passages of the standard library's documentation; medians of `--rounds`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

import lateint
from benchmarks import _harness
from benchmarks.quality import pools
from benchmarks.speed.rerank_speed import BASE, BATCH_SIZES, milliseconds
from lateint.loading.pretrained import locate
from lateint_eval.datasets.stdlib.passages import build_passages
from lateint_eval.datasets.stdlib.questions import load_questions
from lateint_eval.measures.metrics import evaluate
from lateint_eval.systems import as_run

POOL, MEASURE, LAYERS = "msmarco-dl21", "nDCG@10", 2
COUNTS = (1, 2, 4, 8, 16, 32, 64)
Call = Callable[[str], float]


def multi_vector(texts: list[str]) -> Call:
    """Milliseconds of a query against vectors that are in memory."""
    from sentence_transformers import MultiVectorEncoder

    torch.manual_seed(0)
    peer = MultiVectorEncoder(str(locate(BASE)), device="cpu")
    held = peer.encode_document(texts)
    return lambda query: milliseconds(lambda: peer.similarity([peer.encode_query(query)], held))


def shallow(texts: list[str], question: str) -> Callable[[str, int], float]:
    """Milliseconds of a query with the first so many texts, at the batch size that is best for all of them."""
    from sentence_transformers import CrossEncoder

    torch.manual_seed(0)
    cut = {"num_hidden_layers": LAYERS}
    peer = CrossEncoder(str(locate(BASE)), num_labels=1, max_length=288, device="cpu", config_kwargs=cut)

    def call(query: str, count: int, size: int) -> float:
        pairs = [(query, text) for text in texts[:count]]
        return milliseconds(lambda: peer.predict(pairs, batch_size=size))

    call(question, 8, 8)
    best = min(BATCH_SIZES, key=lambda size: call(question, len(texts) // 5, size))
    return lambda query, count: call(query, count, best)


def perfect(counts: tuple[int, ...]) -> dict[int, float]:
    """nDCG@10 of a perfect order of BM25's first so many, the others behind them as they were."""
    data = pools.pool(POOL)
    found = {}
    for count in counts:
        rankings = {}
        for query, ids in data.candidates.items():
            first = sorted(ids[:count], key=lambda doc_id: -data.qrels[query].get(doc_id, 0))
            order = [*first, *ids[count:]]
            rankings[query] = [(doc_id, float(-place)) for place, doc_id in enumerate(order)]
        scores = evaluate({q: data.qrels[q] for q in rankings}, as_run("perfect", rankings), [MEASURE]).scores[MEASURE]
        found[count] = round(scores.mean, 4)
    return found


def calls(stack: ExitStack, candidates: int) -> tuple[dict[str, Call], list[str], list[str]]:
    """Every way to rank the same passages; questions; the passages' texts."""
    passages = build_passages()
    documents = [lateint.Document(p.id, p.text, p.title) for p in passages[:candidates]]
    texts, ids = [document.full_text for document in documents], [document.id for document in documents]
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    found: dict[str, Call] = {"MultiVectorEncoder": multi_vector(texts)}
    for name, model in {"latent": lateint.load_model("latent"), "colbert": lateint.load_model(BASE, method="colbert")}.items():
        ranker = lateint.Ranker(model, stack.enter_context(lateint.build_store(model, documents, folder / name)))
        found[name] = lambda query, ranker=ranker: ranker.rank(query, ids).timing.total_ms  # type: ignore[misc]
    questions = [question.text for question in load_questions("dev", {p.id for p in passages}).kept]
    return found, questions, texts


def measure(candidates: int, rounds: int) -> dict[str, Any]:
    """All in turn; the whole result."""
    with ExitStack() as stack:
        ways, questions, texts = calls(stack, candidates)
        reads, asked = shallow(texts, questions[0]), cycle(questions)
        for call in ways.values():
            call(next(asked))
        took: dict[str, list[float]] = {name: [] for name in ways}
        of_counts: dict[int, list[float]] = {count: [] for count in (*COUNTS, len(texts))}
        for _ in range(rounds):
            for name, call in ways.items():
                took[name].append(call(next(asked)))
            for count, times in of_counts.items():
                times.append(reads(next(asked), count))
    middle = {name: statistics.median(times) for name, times in took.items()}
    two_layers = {count: statistics.median(times) for count, times in of_counts.items()}
    within = max((count for count in COUNTS if two_layers[count] <= middle["latent"]), default=0)
    kept = json.loads((_harness.RESULTS / f"trade_off_{POOL}.json").read_text(encoding="utf-8"))["rows"]["latent"]
    return {
        "claim": f"rank {candidates} candidates, and what a cross-encoder of {LAYERS} layers could do in the time of `latent`",
        "denominator": "milliseconds of each; the same texts, cores and run",
        "command": "python -m benchmarks.speed.peers",
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "ms": middle,
        "two_layers_ms": two_layers,
        "read_in_latents_time": within,
        "perfect": {"pool": POOL, MEASURE: perfect((within, *(count for count in COUNTS if count > within)))},
        "latent": {"pool": POOL, MEASURE: kept[MEASURE]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    result = measure(options.candidates, options.rounds)
    for name, ms in result["ms"].items():
        print(f"{name:<20} {ms:8.1f} ms  {ms / result['ms']['latent']:.2f} of latent")
    print(f"two layers, ms by candidates: {result['two_layers_ms']}")
    print(f"in latent's time they read {result['read_in_latents_time']}; a perfect order of so many: {result['perfect']}")
    print(f"latent there: {result['latent']}")
    print(f"written to {_harness.write('peers', result)}")


if __name__ == "__main__":
    main()
