"""Time DiPair's head alone, with both sides of every pair cached.

Numerator: `model.score` of `dipair` (its published head: a small transformer, first row) over queries and document rows that
are in memory, 1,000 pairs a query. The towers have run before: that is what the paper's ratio means by head time.
Denominator: all T layers over query and document of the same pairs, token ids in memory, in two forms: our `cross_encoder` at
the engine's own batches, and sentence-transformers' CrossEncoder at its best batch size, which tokenises too; fp32, same cores,
same run, alternating. Weights are fresh: only arithmetic is measured. Pairs are cut at 32 and 128 tokens, as in the paper.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import numpy as np
import torch

import lateint
from benchmarks import _harness
from benchmarks.speed.rerank_speed import BASE, cross_encoder, milliseconds
from lateint.indexing.codecs import pipelines, round_trip
from lateint.ranking.scoring import score_all
from lateint_eval.datasets.stdlib.passages import build_passages
from lateint_eval.datasets.stdlib.questions import load_questions
from lateint_store import Ragged

LENGTHS = {"query_max_length": 32, "doc_max_length": 128}


def cached(model: lateint.Model, documents: list[lateint.Document]) -> dict[str, Ragged]:
    """The documents' arrays, through the method's codecs, in memory."""
    rows = model.document_tokens(documents)
    entries = [entry for start in range(0, len(rows), 32) for entry in model.encode(rows[start : start + 32])]
    return round_trip(entries, pipelines(model))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=5, help="alternating calls of each")
    options = parser.parse_args()
    passages = build_passages()
    documents = [lateint.Document(p.id, p.text, p.title) for p in passages[: options.candidates]]
    questions = [q.text for q in load_questions("dev", {p.id for p in passages}).kept][: options.pairs + 1]
    models = {name: lateint.load_model(BASE, name, **LENGTHS) for name in ("dipair", "cross_encoder")}
    arrays = {name: cached(model, documents) for name, model in models.items()}
    queries = {name: [model.query(text) for text in questions] for name, model in models.items()}
    peer, size = cross_encoder(BASE, [" ".join(d.full_text.split()[:90]) for d in documents], questions[0])
    found: dict[str, list[float]] = {"dipair": [], "cross_encoder": [], "CrossEncoder": []}
    for place in range(len(questions)):
        for name, model in models.items():
            found[name].append(milliseconds(lambda n=name, m=model, p=place: score_all(m, queries[n][p], arrays[n])))  # type: ignore[misc]
        found["CrossEncoder"].append(peer(questions[place]))
    middle = {name: statistics.median(values[1:]) for name, values in found.items()}
    result: dict[str, Any] = {
        "claim": f"DiPair's head over {len(documents)} cached pairs, towers not counted",
        "denominators": "cross_encoder: all our layers over token ids; CrossEncoder: sentence-transformers, best batch",
        "command": "python -m benchmarks.speed.dipair_head",
        "threads": torch.get_num_threads(),
        "calls": options.pairs,
        "batch_size": size,
        "document_tokens": float(np.mean([len(row) for row in models["cross_encoder"].document_tokens(documents)])),
        "milliseconds": middle,
        "ratio_to_cross_encoder": middle["cross_encoder"] / middle["dipair"],
        "ratio_to_CrossEncoder": middle["CrossEncoder"] / middle["dipair"],
    }
    print("  ".join(f"{name} {value:.1f} ms" for name, value in middle.items()))
    print(f"{result['ratio_to_cross_encoder']:.0f}x our cross_encoder, {result['ratio_to_CrossEncoder']:.0f}x CrossEncoder")
    print(f"written to {_harness.write('dipair_head', result)}")


if __name__ == "__main__":
    main()
