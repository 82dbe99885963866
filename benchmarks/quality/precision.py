"""Does a lower precision move nDCG@10? The default checkpoint on the development sets, by precision of queries and documents.

Rows: queries in float32, bfloat16 and int8 over documents in float32, and both in bfloat16. Each is compared with float32 for
both on the same queries: mean difference of nDCG@10 with its 95 % interval (paired bootstrap), and the largest change of a
score, relative to the spread of the scores of its query. Required of what `auto` chooses: a mean within 0.003 on each set.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import lateint
from benchmarks import _harness
from lateint.backbone.reduced import has_units
from lateint_eval.datasets.folder import data_folder
from lateint_eval.measures.significance import compare
from lateint_eval.reporting.reference import per_query, run
from lateint_eval.reporting.sets import MAIN, EvaluationTask, named, tasks
from lateint_eval.systems import Outcome, cached

MOST = 0.003
ROWS = (("float32", "float32"), ("bfloat16", "float32"), ("int8", "float32"), ("bfloat16", "bfloat16"))  # queries, documents


def measure(model: lateint.Model, task: EvaluationTask) -> dict[str, Any]:
    """Rank a set in every precision; nDCG@10, and the differences from float32, by row."""
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as folder:
        for queries, documents in ROWS:
            model.precision = documents
            with lateint.build_store(model, task.corpus(), Path(folder) / documents) as store:  # the second time, it is there
                model.precision = queries
                outcomes[f"{queries}, {documents}"] = run(cached(model, store), task)
    exact = outcomes["float32, float32"]
    return {name: _row(outcome, exact) for name, outcome in outcomes.items()} | {"queries": len(task.split.queries)}


def _row(outcome: Outcome, exact: Outcome) -> dict[str, Any]:
    found = compare(per_query(outcome)[MAIN], per_query(exact)[MAIN])
    moved = [_moved(dict(outcome.rankings[query]), dict(scores)) for query, scores in exact.rankings.items()]
    return {
        "ndcg": outcome.evaluation.scores[MAIN].mean,
        "minus_float32": [found.difference, found.low, found.high],
        "largest_change": float(np.max(moved)),
    }


def _moved(ours: Mapping[str, float], theirs: Mapping[str, float]) -> float:
    """The largest change of a candidate's score, in units of the spread of all."""
    before = np.array(list(theirs.values()))
    after = np.array([ours[doc_id] for doc_id in theirs])
    return float(np.abs(after - before).max() / max(np.ptp(before), 1e-9))


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", default=[], help="names of development sets; default: all")
    parser.add_argument("--first", type=int, metavar="N", help="the first N queries of each set only; writes no result")
    options = parser.parse_args()
    chosen = named(tasks(data_folder()), options.sets)
    model = lateint.load_model()
    result: dict[str, Any] = {"units": {name: has_units(name) for name in ("bfloat16", "int8")}, "sets": {}}
    for task in chosen if options.first is None else [task.first(options.first) for task in chosen]:
        result["sets"][task.name] = rows = measure(model, task)
        print(f"{task.name}, {rows['queries']} queries")
        for name, row in rows.items():
            if name != "queries":
                difference, low, high = row["minus_float32"]
                print(f"  {name:<20} {row['ndcg']:.4f} {difference:+.4f} [{low:+.4f}, {high:+.4f}] {row['largest_change']:.3f}")
    if options.first is None:
        _harness.save("precision", result)
        print(json.dumps(result["units"]))


if __name__ == "__main__":
    main()
