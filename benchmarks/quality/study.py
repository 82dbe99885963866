"""Store a study's results beside the others, print its points as means over the sets, and draw their front.

    lateint study benchmarks/quality/study.toml --output runs/study
    python -m benchmarks.quality.study dev runs/study --picture docs/guide/study.svg

The quality, bytes and milliseconds of a point are means over the sets, each set with the same weight. Intervals are 95 %, by
bootstrap over the queries of each set; differences are to the study's baseline, paired by query. A speed-up says how
many times faster a point is (numerator) than the baseline (denominator): both ranked the same candidates by id from a store in
the same study.
A line starts with B if the point is on the front of quality against bytes, and M if it is on that against milliseconds.
"""

from __future__ import annotations

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
    """The main measure of every query: one array a set, in the same order of queries for all points."""
    arrays = []
    for name in results["data"]:
        values = point["results"][name]["measures"][results["measures"][0]]["per_query"]
        arrays.append(np.array([values[query] for query in sorted(values)]))
    return arrays


def mean_of_means(sets: list[NDArray[np.float64]]) -> tuple[float, float, float]:
    """The mean over sets of the means over their queries, and the bounds of its 95 % interval."""
    random = np.random.default_rng(0)
    drawn = [values[random.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1) for values in sets]
    low, high = np.quantile(np.mean(drawn, axis=0), (0.025, 0.975))
    return float(np.mean([values.mean() for values in sets])), float(low), float(high)


def spots(results: Any, cost: tuple[str, ...]) -> list[Spot]:
    """Every point with its mean cost, its quality and a short label."""
    drawn = []
    for at, point in enumerate(results["points"]):
        label = point["label"]
        for long, short in SHORTER.items():
            label = label.replace(long, short)
        price = float(np.mean([inside(point, cost[0], name, *cost[1:]) for name in results["data"]]))
        drawn.append(Spot(at, label, price, *mean_of_means(per_query(results, point))))
    return drawn


def print_points(results: Any) -> None:
    """Print one line a point: fronts, bytes, milliseconds, speed-up, quality, difference to the baseline, mean of each set."""
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
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("name", help="write benchmarks/results/study/NAME.json and NAME.csv")
    parser.add_argument("folder", type=Path, help="the output folder of `lateint study`")
    parser.add_argument("--picture", type=Path, help="draw quality against bytes into this SVG file")
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
