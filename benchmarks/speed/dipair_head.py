"""Time DiPair's head alone, with both sides of every pair cached.

Numerator: `model.score` of `dipair` (its published head: a small transformer, first row) over queries and document
rows in memory, 1,000 pairs a query. Both towers have run before: the paper's head time excludes them too.
Denominator: all T layers over query and document of the same pairs, in two forms: our `cross_encoder` over token ids in memory,
in the engine's own batches, and sentence-transformers' CrossEncoder at its best batch size, which tokenises too. All in
float32 on the same cores, alternating in one run. The printed ratios say how many times faster the head is. Weights are fresh:
only arithmetic is measured. Pairs are cut at 32 query tokens and 128 document tokens, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import lateint
from benchmarks import _harness
from benchmarks._harness import BASE
from benchmarks._peers import CrossEncoderPeer
from lateint.indexing.codecs import pipelines, round_trip
from lateint.ranking.scoring import score_all
from lateint_store import Ragged

QUERY_TOKENS, DOC_TOKENS = 32, 128
PEER_WORDS = 90  # about DOC_TOKENS tokens: the peer has one length for both texts, so its documents are cut by words


def cached(model: lateint.Model, documents: list[lateint.Document]) -> dict[str, Ragged]:
    """The documents' arrays in memory, after a round trip through the method's codecs."""
    rows = model.document_tokens(documents)
    entries = [entry for start in range(0, len(rows), 32) for entry in model.encode(rows[start : start + 32])]
    return round_trip(entries, pipelines(model))


def measure(documents: list[lateint.Document], questions: Sequence[str]) -> dict[str, Any]:
    """Median milliseconds of a query for the head and both denominators; the first question warms up and does not count."""
    models = {
        name: lateint.load_model(BASE, name, query_max_length=QUERY_TOKENS, doc_max_length=DOC_TOKENS)
        for name in ("dipair", "cross_encoder")
    }
    arrays = {name: cached(model, documents) for name, model in models.items()}
    queries = {name: [model.query(text) for text in questions] for name, model in models.items()}
    peer = CrossEncoderPeer(BASE, [" ".join(doc.full_text.split()[:PEER_WORDS]) for doc in documents], questions[0])
    times: dict[str, list[float]] = {"dipair": [], "cross_encoder": [], "CrossEncoder": []}

    def score(name: str, index: int) -> float:
        return _harness.milliseconds(lambda: score_all(models[name], queries[name][index], arrays[name]))

    for index, question in enumerate(questions):
        for name in models:
            times[name].append(score(name, index))
        times["CrossEncoder"].append(peer.milliseconds(question))
    ms = _harness.medians({name: values[1:] for name, values in times.items()})
    tokens = [len(row) for row in models["cross_encoder"].document_tokens(documents)]
    return {
        "batch_size": peer.batch_size,
        "document_tokens": float(np.mean(tokens)),
        "milliseconds": ms,
        "ratio_to_cross_encoder": ms["cross_encoder"] / ms["dipair"],
        "ratio_to_CrossEncoder": ms["CrossEncoder"] / ms["dipair"],
    }


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--candidates", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=5, help="alternating calls of each")
    options = parser.parse_args()
    documents = _harness.library_documents(options.candidates)
    result = {
        "claim": f"DiPair's head over {len(documents)} cached pairs, towers not counted",
        "denominators": "cross_encoder: all our layers over token ids; CrossEncoder: sentence-transformers, best batch",
        "command": "python -m benchmarks.speed.dipair_head",
        "threads": torch.get_num_threads(),
        "calls": options.pairs,
    } | measure(documents, _harness.library_questions()[: options.pairs + 1])
    print("  ".join(f"{name} {value:.1f} ms" for name, value in result["milliseconds"].items()))
    print(f"{result['ratio_to_cross_encoder']:.0f}x our cross_encoder, {result['ratio_to_CrossEncoder']:.0f}x CrossEncoder")
    _harness.save("dipair_head", result)


if __name__ == "__main__":
    main()
