"""How many queries a second does one process rank? `Ranker.rank_many` against a loop over `Ranker.rank`.

200 queries over 1,000 candidates each, by id, all in one store of passages of the standard library's documentation; both use
all threads of torch, in alternating rounds. Numerator: queries/s of `rank_many`. Denominator: queries/s of the loop.
Required: at least 2 on two cores. Queries are the demo's questions, repeated; nothing is kept between calls.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

import lateint
from benchmarks import _harness

LEAST = 2.0


def measure(queries: int, candidates: int, rounds: int, precision: str) -> dict[str, Any]:
    """Rank all queries in both ways, in turn; milliseconds a query, and the ratio."""
    documents, questions = _harness.library_documents(candidates), _harness.library_questions()
    model, ids = lateint.load_model(precision=precision), [document.id for document in documents]
    asked = [(questions[place % len(questions)], ids) for place in range(queries)]
    with tempfile.TemporaryDirectory() as folder, lateint.build_store(model, documents, Path(folder) / "store") as store:
        ranker = lateint.Ranker(model, store)
        ranker.warm_up(questions[0], ids)

        def loop() -> float:
            return _harness.milliseconds(lambda: [ranker.rank(*each) for each in asked]) / queries

        def many() -> float:
            return _harness.milliseconds(lambda: list(ranker.rank_many(asked))) / queries

        found = _harness.alternate({"loop": loop, "many": many}, rounds)
    ratio = _harness.median_ratio(found["loop"], found["many"])
    about = {
        "queries": queries,
        "candidates": candidates,
        "threads": torch.get_num_threads(),
        "precision": model.query_precision,
    }
    return about | {"ms_per_query": _harness.medians(found), "all_ms": found, "times_as_many": ratio, "required": LEAST}


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    result = {
        precision: measure(options.queries, options.candidates, options.rounds, precision) for precision in ("auto", "float32")
    }
    for name, row in result.items():
        ms = row["ms_per_query"]
        print(
            f"{name} ({row['precision']}): loop {ms['loop']:.1f} ms a query, rank_many {ms['many']:.1f} ms: "
            f"{row['times_as_many']:.2f} times as many (required: {LEAST})"
        )
    if not options.no_save:
        _harness.save("many_queries", result)


if __name__ == "__main__":
    main()
