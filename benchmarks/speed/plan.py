"""Does a plan come true? Predicted bytes and milliseconds against a store that is then built and ranked from.

For each set: a corpus (4,000 documents drawn from the set, so that three sets take about a quarter of an hour of one core;
--documents 0 takes all), a plan from 1,000 of them, a build of all, then pairs of a plan's ranking times and times of real
queries with 100 candidates from the store, in turns; plans after the first try 250 documents. Required on every set: bytes
within 3 %, the median of the paired ratios within 25 %.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import _harness
from lateint import Document, Ranker, build_store, load_model
from lateint_eval.datasets.folder import data_folder
from lateint_eval.formats import read_corpus, read_queries
from lateint_eval.planning.plan import CANDIDATES, QUERIES, make_plan
from lateint_eval.planning.trial import rank_times

SETS = ("squad", "msmarco-dl21", "vaswani")
DOCUMENTS, LATER_SAMPLE = 4_000, 250
PAIRS = 5
CLAIM = "bytes within 3 %, p50 of 100 candidates within 25 % (median ratio of 5 alternating pairs), on every set"
BYTES, MILLISECONDS = 0.03, 0.25  # largest relative errors


def corpus(name: str, number: int) -> tuple[list[Document], int]:
    """So many documents of a set, drawn with a fixed seed, in their order (0: all); and how many the set has."""
    documents = [Document(doc.id, doc.text, doc.title) for doc in read_corpus(data_folder() / name)]
    if not 0 < number < len(documents):
        return documents, len(documents)
    places = np.sort(np.random.default_rng(0).permutation(len(documents))[:number])
    return [documents[int(place)] for place in places], len(documents)


def check(name: str, model: Any, number: int) -> dict[str, Any]:
    """A set's predicted and real figures."""
    home = data_folder() / name
    documents, in_set = corpus(name, number)
    queries = list(read_queries(home).values())
    with tempfile.TemporaryDirectory() as folder:
        first = make_plan(model, documents)
        with build_store(model, documents, Path(folder) / "store") as store:
            real = store.info()["bytes"]
            ranker, ids, pairs = Ranker(model, store), list(store.ids()), []
            for pair in range(PAIRS):
                plan = make_plan(model, documents, seed=pair, queries=queries, sample=LATER_SAMPLE) if pair else first
                times = rank_times(ranker, queries[:QUERIES], ids, CANDIDATES, seed=100 + pair)
                pairs.append((plan.ranking[0].ms.value, median(times)))
    ratio = median(predicted / taken for predicted, taken in pairs)
    return {
        "documents": len(documents),
        "documents_of_the_set": in_set,
        "tried": first.sample,
        "bytes": real,
        "predicted_bytes": round(first.bytes[0].in_all.value),
        "bytes_error": round(first.bytes[0].in_all.value / real - 1, 4),
        "interval_holds": first.bytes[0].in_all.low <= real <= first.bytes[0].in_all.high,
        "ms": [[round(value, 2) for value in pair] for pair in pairs],
        "ms_error": round(ratio - 1, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="evidence")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--documents", type=int, default=DOCUMENTS, help="Of each set; 0: all.")
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
