"""Does a store of many documents cost more a document? Index, rank and memory at 10 thousand, 100 thousand, 1 million.

The model is a random BERT of two layers, texts have 8 words; store and ranking are the real ones. One process indexes in one
pass; at each mark a process of its own opens the store beside it, ranks 1,000 random ids again and again, and prints its
peak of anonymous memory; its first 20 rankings, which map the file, do not count. The denominator is the first tenth: a
document of the last stretch shall take at most 1.1 times as long as one of the first (processor time, medians over windows),
and so shall a ranking.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _harness
from benchmarks.speed.index_memory import tiny_checkpoint

MARKS = (10_000, 100_000, 1_000_000)
WORDS_A_TEXT, IDS, RUNS, WARM_RUNS, LIMIT = 8, 1_000, 40, 20, 1.1


def texts(documents: int) -> Iterator[str]:
    """Random texts of known words, one at a time."""
    from lateint.testing.tiny import WORDS

    rng = np.random.default_rng(0)
    for _ in range(documents):
        yield " ".join(WORDS[place] for place in rng.integers(0, len(WORDS), WORDS_A_TEXT))


def load(folder: Path) -> Any:
    """The model, by the same name in every process."""
    import lateint

    return lateint.load_model(folder, method="prettr", offline_layers=1, query_max_length=16, doc_max_length=24)


def index(model: Path, store: Path, marks: list[int]) -> dict[int, dict[str, Any]]:
    """Build in one pass; at each mark microseconds of processor time a document since the last one, and what ranking takes."""
    import lateint

    found: dict[int, dict[str, Any]] = {}
    spent: list[float] = []
    last = [time.process_time(), 0]

    def report(now: Any) -> None:
        spent.append(1e6 * (time.process_time() - last[0]) / (now.position - last[1]))
        if len(found) < len(marks) and now.position >= marks[len(found)]:
            row = {"index_us": statistics.median(spent), "mean_us": statistics.mean(spent)}  # the mean has rare costs in it
            row["bytes_a_document"] = now.bytes_written / now.position
            found[now.position] = {name: round(value, 1) for name, value in row.items()} | ranked_at(model, store)
            spent.clear()
        last[:] = [time.process_time(), now.position]

    lateint.build_store(load(model), texts(marks[-1]), store, progress=report).close()
    return found


def ranked_at(model: Path, store: Path) -> dict[str, Any]:
    """What a fresh process needs that reads the store beside the build."""
    command = [sys.executable, "-m", "benchmarks.speed.growth", "--rank", str(store), "--model", str(model)]
    child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return measured


def rank(model: Path, store: Path) -> dict[str, Any]:
    """In the child: milliseconds of processor time a ranking of random ids, warm, and the peak of anonymous memory."""
    import lateint
    from tests.campaign.memory import Peak

    rng, took, fetch = np.random.default_rng(1), [], []
    with Peak() as peak, lateint.open_store(store) as opened:
        ranker, n = lateint.Ranker(load(model), opened), len(opened)
        ranker.warm_up("bread and yeast", [str(place) for place in range(IDS)])
        for _ in range(WARM_RUNS + RUNS):
            ids = [str(place) for place in rng.choice(n, IDS, replace=False).tolist()]
            start = time.process_time()
            timing = ranker.rank("bread and yeast", ids).timing
            took.append(1e3 * (time.process_time() - start))
            fetch.append(timing.fetch_ms)
    middle = {"rank_ms": statistics.median(took[WARM_RUNS:]), "fetch_ms": statistics.median(fetch[WARM_RUNS:])}
    return {name: round(value, 2) for name, value in middle.items()} | {"peak_mb": round(peak.bytes / 1e6, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=MARKS[-1], help="the last mark")
    parser.add_argument("--rank", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        sys.stdout.write(json.dumps(rank(options.model, options.rank)) + "\n")
        return
    marks = [mark for mark in MARKS if mark < options.documents] + [options.documents]
    with tempfile.TemporaryDirectory() as folder:
        found = index(tiny_checkpoint(Path(folder) / "model"), Path(folder) / "store", marks)
    for position, row in found.items():
        print(f"{position:>9} documents: " + "  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    first, last = next(iter(found.values())), list(found.values())[-1]
    slopes = {name: round(last[name] / first[name], 3) for name in ("index_us", "rank_ms", "peak_mb")}
    passed = all(slope <= LIMIT for slope in slopes.values())
    print(f"last against first: {slopes}, limit {LIMIT}: {'PASS' if passed else 'FAIL'}")
    result = {"command": f"benchmarks/speed/growth.py --documents {options.documents}", "marks": found, "slopes": slopes}
    _harness.write("growth", result | {"limit": LIMIT, "pass": passed})
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
