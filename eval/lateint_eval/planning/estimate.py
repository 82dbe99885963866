"""Totals over a corpus from a sample of it, with 95 % intervals.

Documents are grouped by length, which is known of all of them: the mean of each group is weighted by how many documents the
corpus has in it (post-stratification). Bytes and tokens depend on length, so little is left to chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lateint_eval.planning.survey import Survey, length_bin

_SMALLEST_GROUP = 20  # documents of the sample
_Z95 = 1.96


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float, offset: float = 0.0) -> Estimate:
        """The estimate of `factor` times this plus `offset`."""
        return Estimate(*(factor * x + offset for x in (self.value, self.low, self.high)))


def total(survey: Survey, values: ArrayLike) -> Estimate:
    """Sum over all documents of what was measured on each document of the sample."""
    measured = np.asarray(values, dtype=np.float64)
    bins = np.array([length_bin(document) for document in survey.sample])
    value = variance = 0.0
    for group in _groups(survey, bins):
        inside = measured[np.isin(bins, group)]
        there = sum(survey.lengths[each] for each in group)
        value += there * float(inside.mean())
        if len(inside) > 1:
            variance += there**2 * (1 - len(inside) / there) * float(inside.var(ddof=1)) / len(inside)
    half = _Z95 * max(0.0, variance) ** 0.5
    return Estimate(value, value - half, value + half)


def _groups(survey: Survey, bins: NDArray[np.int64]) -> list[list[int]]:
    """Neighbouring bins of length, joined until each group has enough documents of the sample."""
    groups: list[list[int]] = []
    waiting: list[int] = []
    held = 0
    for each in sorted(survey.lengths):
        waiting.append(each)
        held += int((bins == each).sum())
        if held >= _SMALLEST_GROUP:
            groups.append(waiting)
            waiting, held = [], 0
    if waiting and groups:
        groups[-1] += waiting
    return groups or [waiting]


def quantile(values: Sequence[float], share: float) -> Estimate:
    """A quantile of a population from a random sample; the interval lies between order statistics."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    half = _Z95 * (n * share * (1 - share)) ** 0.5
    places = [share * n - half, share * n + half]
    low, high = (float(ordered[min(n - 1, max(0, int(place)))]) for place in places)
    return Estimate(float(np.quantile(ordered, share)), low, high)


def proportion(found: int, n: int) -> Estimate:
    """A share of a population from a random sample, with Wilson's interval."""
    centre = (found + _Z95**2 / 2) / (n + _Z95**2)
    half = _Z95 / (n + _Z95**2) * (found * (n - found) / n + _Z95**2 / 4) ** 0.5
    return Estimate(found / n, max(0.0, centre - half), min(1.0, centre + half))
