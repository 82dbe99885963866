"""Significance of the difference of two runs, paired by query id. Uses numpy only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lateint_store.errors import InputError

RESAMPLES = 10_000
_BATCH = 2_000_000  # sampled indices in memory at once: 16 MB


@dataclass(frozen=True, slots=True)
class Comparison:
    """The mean difference system - baseline over n queries, with its uncertainty."""

    n: int
    difference: float
    low: float  # 95 % percentile bootstrap interval over queries
    high: float
    p_value: float  # two-sided paired t-test; nan for one query


def compare(system: Mapping[str, float], baseline: Mapping[str, float], seed: int = 0) -> Comparison:
    """Compare two runs by their per-query values of one measure; queries may be in any order.

    The bootstrap draws `RESAMPLES` times n queries with replacement from a generator seeded with `seed`.
    Raises: InputError if the two cover different queries, or none. Cost: RESAMPLES * n draws.
    """
    import numpy as np

    if system.keys() != baseline.keys() or not system:
        raise InputError(
            f"cannot pair {len(system)} with {len(baseline)} queries, "
            f"{len(system.keys() & baseline.keys())} in common; expected the same judged queries in both runs"
        )
    pairs = [(system[query_id], baseline[query_id]) for query_id in sorted(system)]
    differences = np.array([ours - theirs for ours, theirs in pairs], dtype=np.float64)
    n, generator = len(differences), np.random.default_rng(seed)
    rows = max(1, _BATCH // n)
    means = [
        differences[generator.integers(0, n, size=(min(rows, RESAMPLES - start), n))].mean(axis=1)
        for start in range(0, RESAMPLES, rows)
    ]
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return Comparison(n, float(differences.mean()), float(low), float(high), paired_t_test(differences.tolist()))


def interval(per_query: Mapping[str, float], seed: int = 0) -> tuple[float, float]:
    """Compute the 95 % percentile bootstrap interval of a mean over queries, with the resamples of `compare`."""
    found = compare(per_query, dict.fromkeys(per_query, 0.0), seed)
    return found.low, found.high


def paired_t_test(differences: Sequence[float]) -> float:
    """Compute the two-sided p-value of Student's t-test for mean difference 0; 1.0 if all are 0, nan for fewer than 2."""
    n = len(differences)
    if n < 2:
        return math.nan
    mean = math.fsum(differences) / n
    variance = math.fsum((value - mean) ** 2 for value in differences) / (n - 1)
    if variance == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    t_squared = mean * mean * n / variance
    return _incomplete_beta((n - 1) / 2, 0.5, (n - 1) / (n - 1 + t_squared))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of several comparisons (Holm 1979); nan stays nan and is not counted as a comparison.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted((p, at) for at, p in enumerate(p_values) if not math.isnan(p))
    adjusted, largest = list(p_values), 0.0
    for position, (p, at) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - position) * p))
        adjusted[at] = largest
    return adjusted


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Compute the regularised incomplete beta function I_x(a, b) by the continued fraction that converges for this x."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / a / _beta_fraction(a, b, x)


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Evaluate 1 + d1/(1 + d2/(1 + ...)) backwards; the terms are those of Abramowitz and Stegun 26.5.8."""
    terms = 200 + int(5 * math.sqrt(max(a, b)))
    value = 1.0
    for k in range(terms, 0, -1):
        m = k // 2
        if k % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        value = 1.0 + d / value
    return value
