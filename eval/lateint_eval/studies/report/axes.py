"""Axes of the report's plots: logarithmic costs with round ticks, and limits with margins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lateint_eval.studies.report.words import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMALLEST_RATIO = 7.0  # between the ends of a logarithmic axis, so that at least two of 1, 2, 5, 10, ... lie inside
MOST_TICKS = 7


def log_scale(axes: Axes, costs: Sequence[float], label: str, size_unit: bool) -> None:
    """Set a logarithmic x axis for these costs; a cost of 0 is drawn at the left end, at a tick labelled 0."""
    positive = [cost for cost in costs if cost > 0] or [1.0]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    margin = max(0.12 * (high - low), (math.log10(_SMALLEST_RATIO) - (high - low)) / 2)
    low, high = low - margin, high + margin
    ticks = _ticks(low, high)
    names = [bytes_tick(tick) if size_unit else shown(tick, ",g") for tick in ticks]
    if min(costs) <= 0:
        ticks, names, low = [10**low, *ticks], ["0", *names], low - margin
    axes.set_xscale("log")
    axes.set_xlim(10**low, 10**high)
    axes.set_xticks(ticks, names)
    axes.set_xticks([], minor=True)
    axes.set_xlabel(label)


def at_cost(axes: Axes, cost: float) -> float:
    """Return the x position of a cost on such an axis."""
    return cost if cost > 0 else float(axes.get_xticks()[0])


def _ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten between two exponents; fewer steps if that gives too many ticks."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**power for power in powers for step in steps if low <= math.log10(step) + power <= high]
        if len(found) <= MOST_TICKS:
            break
    return found


def bytes_tick(value: float) -> str:
    """Format a round number of bytes.

    >>> bytes_tick(20_000.0)
    '20 kB'
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} B"


def linear_limits(values: Sequence[float], least: float = 0.02) -> tuple[float, float]:
    """Return limits around these values, with margins for names above and below."""
    low, high = min(values), max(values)
    margin = max(0.14 * (high - low), (least - (high - low)) / 2)
    return low - margin, high + margin
