"""Do a plan's predictions hold? Predicted bytes and milliseconds against a store that is then built and ranked from.

Numerator: what the plan predicts. Denominator: what the store takes. For each set: read a corpus (4,000 documents drawn from
the set, so that three sets take about a quarter of an hour on one core; --documents 0 takes all), plan from 1,000 of them, and
build a store of all. Then alternate in pairs between a plan's ranking times and the times of real queries with 100 candidates
from the store; plans after the first encode 250 documents. Required on every set: bytes within 3 %, and the median of the
paired ratios of milliseconds within 25 %.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import _harness
from lateint import Document, Model, Ranker, build_store, load_model
from lateint_eval.datasets.folder import data_folder
from lateint_eval.formats import read_corpus, read_queries
from lateint_eval.planning.plan import CANDIDATES, QUERIES, make_plan
from lateint_eval.planning.trial import rank_times

SETS = ("squad", "msmarco-dl21", "vaswani")
DOCUMENTS, LATER_SAMPLE = 4_000, 250
PAIRS = 5
CLAIM = "bytes within 3 %, p50 of 100 candidates within 25 % (median ratio of 5 alternating pairs), on every set"
BYTES, MILLISECONDS = 0.03, 0.25  # largest relative errors


def corpus(name: str, count: int) -> tuple[list[Document], int]:
    """`count` documents of a set, drawn with a fixed seed and kept in order (0: all), and how many the set has."""
    documents = [Document(doc.id, doc.text, doc.title) for doc in read_corpus(data_folder() / name)]
    if not 0 < count < len(documents):
        return documents, len(documents)
    chosen = np.sort(np.random.default_rng(0).permutation(len(documents))[:count])
    return [documents[index] for index in chosen.tolist()], len(documents)


def check(name: str, model: Model, count: int) -> dict[str, Any]:
    """Predicted and measured bytes and milliseconds of one set."""
    documents, in_set = corpus(name, count)
    queries = list(read_queries(data_folder() / name).values())
    with tempfile.TemporaryDirectory() as folder:
        first = make_plan(model, documents)
        with build_store(model, documents, Path(folder) / "store") as store:
            real = store.info()["bytes"]
            ranker, ids, pairs = Ranker(model, store), list(store.ids()), []
            for pair in range(PAIRS):
                plan = make_plan(model, documents, seed=pair, queries=queries, sample=LATER_SAMPLE) if pair else first
                times = rank_times(ranker, queries[:QUERIES], ids, CANDIDATES, seed=100 + pair)
                pairs.append((plan.ranking[0].ms.value, median(times)))
    predicted = first.bytes[0].in_all
    ratio = _harness.median_ratio(*zip(*pairs, strict=True))
    return {
        "documents": len(documents),
        "documents_of_the_set": in_set,
        "tried": first.sample,
        "bytes": real,
        "predicted_bytes": round(predicted.value),
        "bytes_error": round(predicted.value / real - 1, 4),
        "interval_holds": predicted.low <= real <= predicted.high,
        "ms": [[round(value, 2) for value in pair] for pair in pairs],
        "ms_error": round(ratio - 1, 3),
    }


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--model", default="latent")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--documents", type=int, default=DOCUMENTS, help="documents of each set; 0: all")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    model = load_model(options.model, threads=options.threads)
    rows = {}
    for name in options.sets:
        rows[name] = check(name, model, options.documents)
        print(name, rows[name], flush=True)
    passed = all(abs(row["bytes_error"]) <= BYTES and abs(row["ms_error"]) <= MILLISECONDS for row in rows.values())
    limits = {"bytes": BYTES, "ms": MILLISECONDS, "pass": passed}
    about = {"claim": CLAIM, "command": "python -m benchmarks.speed.plan", "model": model.name, "threads": options.threads}
    _harness.write("plan", about | {"sets": rows, "limits": limits})
    print("PASS" if passed else "FAIL")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
