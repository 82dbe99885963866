"""Values of a study's results for the report: optional numbers, points with costs, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lateint_eval.formats.records import Json

BYTES = ("results", "bytes_per_document")
MILLISECONDS = ("timing", "total_ms", "p50")


@dataclass(frozen=True, slots=True)
class Spot:
    """Cost and quality of a point on one set."""

    at: int  # index in the study
    label: str
    cost: float
    quality: float
    low: float | None  # 95 % interval of the quality
    high: float | None


def number(found: object, *path: str) -> float | None:
    """Return the finite number at a path of keys; None if any part of the path is missing.

    >>> number({"total_ms": {"p50": 3}}, "total_ms", "p50")
    3.0
    """
    value = inside(found, *path)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def inside(found: object, *path: str) -> Any:
    """Return the value at a path of keys, or None."""
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def spots(results: Json, data: str, cost: tuple[str, ...]) -> list[Spot]:
    """Return the points of a set whose main measure and cost are known, in the order of the study.

    Args: `cost` is `BYTES` or `MILLISECONDS`, the path of the cost in a point without the name of the set.
    """
    found = []
    for at, point in enumerate(results["points"]):
        main = inside(point, "results", data, "measures", results["measures"][0])
        quality, price = number(main, "mean"), number(point, cost[0], data, *cost[1:])
        if quality is not None and price is not None:
            found.append(Spot(at, str(point["label"]), price, quality, number(main, "low"), number(main, "high")))
    return found


def front(points: Iterable[Spot]) -> list[Spot]:
    """Return the Pareto front: points for which no other point is at least as good in cost and quality and better in one.

    Returns: the points by rising cost. Of equal points, either all or none are on the front.
    """
    kept: list[Spot] = []
    for spot in sorted(points, key=lambda each: (each.cost, -each.quality, each.at)):
        if not kept or spot.quality > kept[-1].quality or (spot.cost, spot.quality) == (kept[-1].cost, kept[-1].quality):
            kept.append(spot)
    return kept


def budgets(best: Sequence[Spot]) -> list[tuple[float, Spot]]:
    """Return (cost limit, best point within it) for the round limits (1, 2, 5, 10, 20, ...) at which the best point changes.

    Args: `best` is a front. A point of cost 0 has the limit 0.
    """
    found: dict[float, Spot] = {}
    for spot in best:  # cost and quality rise, so the last point of each limit is its best
        found[round_up(spot.cost)] = spot
    return list(found.items())


def round_up(value: float) -> float:
    """Round up to the next of ..., 1, 2, 5, 10, ...; values up to 0 give 0."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10, 20) if step * power >= value * (1 - 1e-12))


def chosen(results: Json, data: str) -> Spot | None:
    """Return the point to compare with the reference: the best other point on the front of bytes, else the best other."""
    points = spots(results, data, BYTES)
    for among in (front(points), points):
        others = [spot for spot in among if results["points"][spot.at]["id"] != results["reference"]]
        if others:
            return max(others, key=lambda spot: (spot.quality, -spot.cost, -spot.at))
    return None


def index_of(results: Json, wanted: str) -> int | None:
    """Return the index of the point with this id."""
    return next((at for at, point in enumerate(results["points"]) if point["id"] == wanted), None)
