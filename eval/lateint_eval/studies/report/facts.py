"""What the report takes from the results of a study: numbers that may be missing, points with a cost, the front."""

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
    """A point of the study on one set: what it costs and how well it ranks."""

    at: int  # its place in the study
    label: str
    cost: float
    quality: float
    low: float | None  # 95 % interval of the quality
    high: float | None


def number(found: object, *path: str) -> float | None:
    """The finite number at the end of a path of keys; None if it, or anything on the way to it, is missing.

    >>> number({"total_ms": {"p50": 3}}, "total_ms", "p50")
    3.0
    """
    value = inside(found, *path)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def inside(found: object, *path: str) -> Any:
    """What lies at the end of a path of keys, or None."""
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def spots(results: Json, data: str, cost: tuple[str, ...]) -> list[Spot]:
    """The points of a set whose main measure and cost are known, in the order of the study.

    Args: `cost` is `BYTES` or `MILLISECONDS`: where a point keeps it, less the name of the set.
    """
    found = []
    for at, point in enumerate(results["points"]):
        main = inside(point, "results", data, "measures", results["measures"][0])
        quality, price = number(main, "mean"), number(point, cost[0], data, *cost[1:])
        if quality is not None and price is not None:
            found.append(Spot(at, str(point["label"]), price, quality, number(main, "low"), number(main, "high")))
    return found


def front(points: Iterable[Spot]) -> list[Spot]:
    """The points that no other beats: none costs at most as much, ranks at least as well and is better in one of the two.

    Returns: them by rising cost. Equal points stand or fall together.
    """
    kept: list[Spot] = []
    for spot in sorted(points, key=lambda each: (each.cost, -each.quality, each.at)):
        if not kept or spot.quality > kept[-1].quality or (spot.cost, spot.quality) == (kept[-1].cost, kept[-1].quality):
            kept.append(spot)
    return kept


def budgets(best: Sequence[Spot]) -> list[tuple[float, Spot]]:
    """Round limits of cost (1, 2, 5, 10, 20, ...) and the best point within each, for limits where another becomes best.

    Args: `best` is a front. A free point needs no limit but 0.
    """
    found: dict[float, Spot] = {}
    for spot in best:  # by rising cost and quality: the last of those that share a limit is its best
        found[round_up(spot.cost)] = spot
    return list(found.items())


def round_up(value: float) -> float:
    """The smallest of ..., 1, 2, 5, 10, ... that is not less; 0 for what is not above 0."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10, 20) if step * power >= value * (1 - 1e-12))


def chosen(results: Json, data: str) -> Spot | None:
    """The point to hold against the reference: the best other one on the front of bytes, else the best other one."""
    points = spots(results, data, BYTES)
    for among in (front(points), points):
        others = [spot for spot in among if results["points"][spot.at]["id"] != results["reference"]]
        if others:
            return max(others, key=lambda spot: (spot.quality, -spot.cost, -spot.at))
    return None


def place_of(results: Json, wanted: str) -> int | None:
    """Where the point of this id stands in the study."""
    return next((at for at, point in enumerate(results["points"]) if point["id"] == wanted), None)
