"""Keep what a study found beside the other results, print its points as means over its sets, and draw their front.

    lateint study benchmarks/quality/study.toml --output runs/study
    benchmarks/quality/study.py dev runs/study --picture docs/guide/study.svg

A point's quality is the mean of its means over the sets, its bytes and milliseconds likewise. Intervals are of 95 %, by
bootstrap over the queries of each set; differences are to the study's baseline, paired by query. A speed-up is the baseline's
milliseconds by the point's: both ranked the same candidates by id from a store in the same study.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import _harness
from lateint_eval.studies.report.facts import BYTES, MILLISECONDS, Spot, front, inside
from lateint_eval.studies.report.plots import Costs, quality_plot

RESAMPLES = 10_000
SHORTER = {
    "cosine of all-MiniLM-L6-v2": "cosine", "states=": "", "vector=": "", "cast:": "", "drive:bits=": "drive",
    "doc_max_length=": "cut at ",
}  # fmt: skip
PAPER = 'xmlns="http://www.w3.org/2000/svg" style="color: #222; background: #fff; font-family: sans-serif" width="880" '


def per_query(results: Any, point: Any) -> list[NDArray[np.float64]]:
    """The main measure of every query, an array a set, in an order that all points share."""
    found = []
    for name in results["data"]:
        values = point["results"][name]["measures"][results["measures"][0]]["per_query"]
        found.append(np.array([values[query] for query in sorted(values)]))
    return found


def mean_of_means(sets: list[NDArray[np.float64]]) -> tuple[float, float, float]:
    """The mean over sets of the means over their queries, and its interval."""
    random = np.random.default_rng(0)
    drawn = [values[random.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1) for values in sets]
    low, high = np.quantile(np.mean(drawn, axis=0), (0.025, 0.975))
    return float(np.mean([values.mean() for values in sets])), float(low), float(high)


def spots(results: Any, cost: tuple[str, ...]) -> list[Spot]:
    """Every point with its mean cost and quality."""
    found = []
    for at, point in enumerate(results["points"]):
        label = point["label"]
        for long, short in SHORTER.items():
            label = label.replace(long, short)
        price = float(np.mean([inside(point, cost[0], name, *cost[1:]) for name in results["data"]]))
        found.append(Spot(at, label, price, *mean_of_means(per_query(results, point))))
    return found


def print_points(results: Any) -> None:
    """A line a point: bytes, milliseconds, speed-up, quality, difference to the baseline, the mean of each set."""
    small, fast = spots(results, BYTES), spots(results, MILLISECONDS)
    best = {spot.at for spot in front(small)}, {spot.at for spot in front(fast)}
    base = next((at for at, point in enumerate(results["points"]) if point["id"] == results["baseline"]), 0)
    reference = per_query(results, results["points"][base])
    for spot, time in zip(small, fast, strict=True):
        values = per_query(results, results["points"][spot.at])
        lead, low, high = mean_of_means([a - b for a, b in zip(values, reference, strict=True)])
        on = "".join(sign if spot.at in each else "-" for sign, each in zip("BM", best, strict=True))
        means = " ".join(f"{each.mean():.4f}" for each in values)
        cost = f"{spot.cost:10,.0f} B {time.cost:8.2f} ms {fast[base].cost / time.cost:7.1f}x"
        print(f"{on} {spot.label:<44} {cost}  {spot.quality:.4f} {lead:+.4f} [{low:+.4f}, {high:+.4f}]  {means}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="Of the results: benchmarks/results/study/NAME.json and .csv")
    parser.add_argument("folder", type=Path, help="What `lateint study` wrote.")
    parser.add_argument("--picture", type=Path, help="Draw quality against bytes into this SVG file.")
    options = parser.parse_args()
    results = json.loads((options.folder / "results.json").read_text(encoding="utf-8"))
    print_points(results)
    home = _harness.RESULTS / "study"
    home.mkdir(parents=True, exist_ok=True)
    for suffix in ("json", "csv"):
        shutil.copyfile(options.folder / f"results.{suffix}", home / f"{options.name}.{suffix}")
    if options.picture is not None:
        costs = Costs("front", "bytes a document, mean over the sets", "bytes")
        reference = next(at for at, point in enumerate(results["points"]) if point["id"] == results["reference"])
        drawn = quality_plot(spots(results, BYTES), costs, f"{results['measures'][0]}, mean over the sets", None, reference)
        options.picture.write_text(drawn.replace("<svg ", f"<svg {PAPER}", 1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
