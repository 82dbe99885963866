"""Does a larger store cost more a document? Time to index and to rank, and memory, at 10 thousand, 100 thousand, 1 million.

The model is a random BERT of two layers and texts have 8 words; store and ranking are the real ones. One process indexes in one
pass. At each mark a second process opens the store beside it, ranks 1,000 random ids again and again, and reports medians and
its peak of anonymous memory; its first 20 rankings, which map the file, do not count.
Numerator: the last stretch. Denominator: the stretch up to the first mark. Required: a document of the last stretch takes at
most 1.1 times as long to index as one of the first (processor time, medians over windows), and a ranking too takes at most 1.1
times as long.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import lateint
from benchmarks import _harness

MARKS = (10_000, 100_000, 1_000_000)
WORDS_A_TEXT, DOC_TOKENS = 8, 24
IDS, RUNS, WARM_RUNS, LIMIT = 1_000, 40, 20, 1.1
QUERY = "bread and yeast"


def index(model: Path, store: Path, marks: list[int]) -> dict[int, dict[str, Any]]:
    """Build in one pass; by mark, microseconds of processor time a document since the mark before, and the cost of ranking."""
    rows: dict[int, dict[str, Any]] = {}
    spent: list[float] = []
    last_time, last_position = time.process_time(), 0

    def report(progress: Any) -> None:
        nonlocal last_time, last_position
        spent.append(1e6 * (time.process_time() - last_time) / (progress.position - last_position))
        if len(rows) < len(marks) and progress.position >= marks[len(rows)]:
            # Rare costs show in the mean alone.
            row = {"index_us": statistics.median(spent), "mean_us": statistics.mean(spent)}
            row["bytes_a_document"] = progress.bytes_written / progress.position
            rows[progress.position] = {name: round(value, 1) for name, value in row.items()} | rank_in_child(model, store)
            spent.clear()
        last_time, last_position = time.process_time(), progress.position

    texts = _harness.random_texts(marks[-1], WORDS_A_TEXT, WORDS_A_TEXT)
    lateint.build_store(_harness.load_tiny(model, DOC_TOKENS), texts, store, progress=report).close()
    return rows


def rank_in_child(model: Path, store: Path) -> dict[str, Any]:
    """What `rank` measures in a fresh process that reads the store beside the build."""
    command = [sys.executable, "-m", "benchmarks.speed.growth", "--rank", str(store), "--model", str(model)]
    child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return measured


def rank(model: Path, store: Path) -> dict[str, Any]:
    """In the child: processor milliseconds of a warm ranking of random ids, and the peak of anonymous memory."""
    from tests.campaign.memory import Peak

    rng = np.random.default_rng(1)
    times: dict[str, list[float]] = {"rank_ms": [], "fetch_ms": []}
    with Peak() as peak, lateint.open_store(store) as opened:
        ranker = lateint.Ranker(_harness.load_tiny(model, DOC_TOKENS), opened)
        documents = len(opened)
        ranker.warm_up(QUERY, [str(index) for index in range(IDS)])
        for _ in range(WARM_RUNS + RUNS):
            ids = [str(index) for index in rng.choice(documents, IDS, replace=False).tolist()]
            ms, ranking = _harness.timed(partial(ranker.rank, QUERY, ids), time.process_time)
            times["rank_ms"].append(ms)
            times["fetch_ms"].append(ranking.timing.fetch_ms)
    warm = _harness.medians({name: each[WARM_RUNS:] for name, each in times.items()})
    return {name: round(value, 2) for name, value in warm.items()} | {"peak_mb": round(peak.bytes / 1e6, 1)}


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--documents", type=int, default=MARKS[-1], help="the last mark")
    parser.add_argument("--rank", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        sys.stdout.write(json.dumps(rank(options.model, options.rank)) + "\n")
        return
    marks = [mark for mark in MARKS if mark < options.documents] + [options.documents]
    with tempfile.TemporaryDirectory() as folder:
        rows = index(_harness.tiny_checkpoint(Path(folder) / "model"), Path(folder) / "store", marks)
    for position, row in rows.items():
        print(f"{position:>9} documents: " + "  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    first, last = next(iter(rows.values())), list(rows.values())[-1]
    slopes = {name: round(last[name] / first[name], 3) for name in ("index_us", "rank_ms", "peak_mb")}
    passed = all(slope <= LIMIT for slope in slopes.values())
    print(f"last to first: {slopes}, limit {LIMIT}: {'PASS' if passed else 'FAIL'}")
    command = f"python -m benchmarks.speed.growth --documents {options.documents}"
    _harness.write("growth", {"command": command, "marks": rows, "slopes": slopes, "limit": LIMIT, "pass": passed})
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
