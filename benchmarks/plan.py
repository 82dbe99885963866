"""Does a plan come true? Predicted bytes and milliseconds against a store that is then built and ranked from.

For each set: a plan from 1,000 documents, a build of the whole corpus, then pairs of a plan's ranking times and times of real
queries with 100 candidates from the store, in turns. Required: bytes within 3 %, the median of the paired ratios within 25 %.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import machine

from lateint import Document, Ranker, build_store, load_model
from lateint_eval.datasets.folder import data_folder
from lateint_eval.formats import read_corpus, read_queries
from lateint_eval.planning.plan import CANDIDATES, QUERIES, make_plan
from lateint_eval.planning.trial import rank_times

SETS = ("squad", "msmarco-dl19", "vaswani")
PAIRS = 5
BYTES, MILLISECONDS = 0.03, 0.25  # largest relative errors


def check(name: str, model: Any) -> dict[str, Any]:
    """A set's predicted and real figures."""
    home = data_folder() / name
    documents = [Document(doc.id, doc.text, doc.title) for doc in read_corpus(home)]
    queries = list(read_queries(home).values())
    with tempfile.TemporaryDirectory() as folder:
        first = make_plan(model, documents)
        with build_store(model, documents, Path(folder) / "store") as store:
            real = store.info()["bytes"]
            ranker, ids, pairs = Ranker(model, store), list(store.ids()), []
            for number in range(PAIRS):
                plan = make_plan(model, documents, seed=number, queries=queries) if number else first
                times = rank_times(ranker, queries[:QUERIES], ids, CANDIDATES, seed=100 + number)
                pairs.append((plan.ranking[0].ms.value, median(times)))
    ratio = median(predicted / taken for predicted, taken in pairs)
    return {
        "documents": len(documents),
        "bytes": real,
        "predicted_bytes": round(first.bytes[0].in_all.value),
        "bytes_error": round(first.bytes[0].in_all.value / real - 1, 4),
        "interval_holds": first.bytes[0].in_all.low <= real <= first.bytes[0].in_all.high,
        "ms": [[round(value, 2) for value in pair] for pair in pairs],
        "ms_error": round(ratio - 1, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    model = load_model(options.model, threads=options.threads)
    rows = {}
    for name in options.sets:
        rows[name] = check(name, model)
        print(name, rows[name], flush=True)
    passed = all(abs(row["bytes_error"]) <= BYTES and abs(row["ms_error"]) <= MILLISECONDS for row in rows.values())
    limits = {"bytes": BYTES, "ms": MILLISECONDS, "pass": passed}
    machine.write("plan", {"command": "benchmarks/plan.py", "model": model.name, "sets": rows, "limits": limits})
    print("PASS" if passed else "FAIL")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
