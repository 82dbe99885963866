"""Estimates of totals, quantiles and proportions of a corpus from a sample, with 95 % intervals.

Totals use post-stratification: documents are grouped by length, which is known for the whole corpus, and the mean of each
group is weighted by the group's size in the corpus. Bytes and tokens depend on length, so this reduces the variance much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lateint_eval.planning.survey import Survey, length_bin

_SMALLEST_GROUP = 20  # sampled documents per group
_Z95 = 1.96


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float, offset: float = 0.0) -> Estimate:
        """Return the estimate of `factor` times this value plus `offset`."""
        return Estimate(*(factor * x + offset for x in (self.value, self.low, self.high)))


def total(survey: Survey, values: ArrayLike) -> Estimate:
    """Estimate the sum over all documents of a quantity that was measured on each document of the sample."""
    measured = np.asarray(values, dtype=np.float64)
    bins = np.array([length_bin(document) for document in survey.sample])
    value = variance = 0.0
    for group in _groups(survey, bins):
        inside = measured[np.isin(bins, group)]
        size = sum(survey.lengths[each] for each in group)  # documents of the corpus in this group
        value += size * float(inside.mean())
        if len(inside) > 1:
            variance += size**2 * (1 - len(inside) / size) * float(inside.var(ddof=1)) / len(inside)
    half = _Z95 * max(0.0, variance) ** 0.5
    return Estimate(value, value - half, value + half)


def _groups(survey: Survey, bins: NDArray[np.int64]) -> list[list[int]]:
    """Join neighbouring length bins until each group has enough sampled documents."""
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
    """Estimate a quantile of a population from a random sample; the bounds of the interval are order statistics."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    half = _Z95 * (n * share * (1 - share)) ** 0.5
    ranks = [share * n - half, share * n + half]
    low, high = (float(ordered[min(n - 1, max(0, int(rank)))]) for rank in ranks)
    return Estimate(float(np.quantile(ordered, share)), low, high)


def proportion(found: int, n: int) -> Estimate:
    """Estimate a proportion of a population from a random sample, with Wilson's interval."""
    centre = (found + _Z95**2 / 2) / (n + _Z95**2)
    half = _Z95 / (n + _Z95**2) * (found * (n - found) / n + _Z95**2 / 4) ** 0.5
    return Estimate(found / n, max(0.0, centre - half), min(1.0, centre + half))
