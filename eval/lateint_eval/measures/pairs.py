"""How scores of sentence pairs agree with labels: correlations for graded labels; accuracy, F1 and AUC for binary ones.

A measure takes how often every pair counts. So one piece of code gives the value (each pair once) and, without sorting
again, its value on all bootstrap resamples at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lateint_eval.measures.significance import RESAMPLES
from lateint_store.errors import InputError

Array = NDArray[np.float64]
Kind = Literal["binary", "graded"]
Measure = Callable[[Array, Array, Array], Array]
_BATCH = 100_000  # counts held at once: 0.8 MB, which stays in a cache
_FLAT = 1e-12  # a spread below this share of the largest value is rounding


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which score on a pair counts as positive, and where that number comes from."""

    value: float
    origin: str


@dataclass(frozen=True, slots=True)
class MeasureEstimate:
    """The value of a measure with its 95 % percentile bootstrap interval over pairs; nan where it is not defined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PairEvaluation:
    """All measures of n scored pairs, by name."""

    n: int
    kind: Kind
    mean_label: float  # of binary labels: the share of positive pairs
    estimates: dict[str, MeasureEstimate]
    threshold: Threshold | None = None

    def warnings(self) -> list[str]:
        """Measures that are not defined on these scores."""
        undefined = [name for name, each in self.estimates.items() if math.isnan(each.value)]
        if not undefined:
            return []
        return [f"all {self.n} pairs have the same score, so {' and '.join(undefined)} are not defined"]

    def to_json(self) -> dict[str, Any]:
        """Full precision; null stands for what is not defined."""
        measures = {
            name: {key: None if math.isnan(value) else value for key, value in asdict(each).items()}
            for name, each in self.estimates.items()
        }
        threshold = None if self.threshold is None else asdict(self.threshold)
        return {"n": self.n, "labels": self.kind, "mean_label": self.mean_label, "threshold": threshold, "measures": measures}

    def to_text(self) -> str:
        """What was measured, then one row a measure."""
        lines = [f"{self.n} pairs, graded labels, mean {self.mean_label:.2f}"]
        if self.threshold is not None:
            lines = [f"{self.n} pairs, binary labels, {self.mean_label:.1%} positive"]
            lines.append(f"positive from score {self.threshold.value:.6g} on ({self.threshold.origin})")
        lines += ["", f"{'measure':<8}  {'value':>7}  95 % interval"]
        for name, each in self.estimates.items():
            lines.append(f"{name:<8}  {each.value:7.4f}  [{each.low:.4f}, {each.high:.4f}]")
        return "\n".join(lines) + "\n"


def label_kind(labels: Array) -> Kind:
    """Say what the labels are: `binary` (0 and 1, both there) or `graded` (three values or more).

    Raises: InputError for labels that are neither.
    """
    values = np.unique(labels)
    if values.tolist() == [0.0, 1.0]:
        return "binary"
    if len(values) < 3:
        shown = " and ".join(f"{value:g}" for value in values)
        raise InputError(
            f"the labels of {len(labels)} pairs hold only {shown or 'nothing'}; expected 0 and 1 (binary), or at least "
            "three different scores (graded)"
        )
    return "graded"


def evaluate_pairs(scores: Array, labels: Array, threshold: Threshold | None = None, seed: int = 0) -> PairEvaluation:
    """Measure scores [n] against labels [n]: Pearson and Spearman if those are graded, else accuracy, F1 and AUC.

    The bootstrap draws `RESAMPLES` times n pairs with replacement from a generator seeded with `seed`; a resample on which a
    measure is not defined is left out of its interval.
    Args: `threshold` belongs to binary labels; without one a pair is positive from score 0 on.
    Raises: InputError for labels of neither kind, and for a threshold where labels are graded.
    Cost: RESAMPLES * n draws and about 40 operations each.
    """
    kind = label_kind(labels)
    if kind == "graded" and threshold is not None:
        raise InputError("graded labels take no threshold; it belongs to labels 0 and 1")
    if kind == "binary" and threshold is None:
        threshold = Threshold(0.0, "default")
    measures = _measures(scores, threshold)
    once = np.ones((1, len(labels)))
    values = {name: float(measure(given, labels, once)[0]) for name, (measure, given) in measures.items()}
    resampled: dict[str, list[Array]] = {name: [] for name in measures}
    for counts in _resamples(len(labels), seed):
        for name, (measure, given) in measures.items():
            resampled[name].append(measure(given, labels, counts))
    estimates = {name: _estimate(value, np.concatenate(resampled[name])) for name, value in values.items()}
    return PairEvaluation(len(labels), kind, float(labels.mean()), estimates, threshold)


def _measures(scores: Array, threshold: Threshold | None) -> dict[str, tuple[Measure, Array]]:
    """The measures of binary labels, which have a threshold, or of graded ones, each with what it reads."""
    if threshold is None:
        return {"Pearson": (pearson, scores), "Spearman": (spearman, scores)}
    decisions = (scores >= threshold.value).astype(np.float64)
    return {"accuracy": (accuracy, decisions), "F1": (f1, decisions), "AUC": (auc, scores)}


def best_threshold(scores: Array, labels: Array) -> float:
    """Find the score from which on pairs count as positive so that most of these pairs are right.

    Tried are the middles between neighbouring scores, all positive and all negative; the lowest of equally good ones.

    >>> float(best_threshold(np.array([1.0, 2.0, 4.0]), np.array([0.0, 0.0, 1.0])))
    3.0
    """
    values, group = np.unique(scores, return_inverse=True)
    positive = np.bincount(group, weights=labels)
    negative = np.bincount(group, weights=1.0 - labels)
    right = np.concatenate([[0.0], np.cumsum(negative)]) + np.concatenate([np.cumsum(positive[::-1])[::-1], [0.0]])
    cuts = np.concatenate([values[:1], (values[:-1] + values[1:]) / 2, [np.nextafter(values[-1], np.inf)]])
    return float(cuts[int(right.argmax())])


def pearson(scores: Array, labels: Array, counts: Array) -> Array:
    """Pearson's correlation [r] of scores [n] and labels [n], pair i counted counts[r, i] times; nan if one is constant."""
    share = counts / counts.sum(axis=1, keepdims=True)
    (left, left_spread), (right, right_spread) = _centred(scores, share), _centred(labels, share)
    return _ratio((share * left * right).sum(axis=1), left_spread * right_spread)


def spearman(scores: Array, labels: Array, counts: Array) -> Array:
    """Spearman's correlation [r]: Pearson's of the ranks, of which equal values share the middle one."""
    return pearson(_ranks(scores, counts), _ranks(labels, counts), counts)


def auc(scores: Array, labels: Array, counts: Array) -> Array:
    """Area under the ROC curve [r]: how often a positive pair scores above a negative one, a tie counts half."""
    positive, negative = _by_value(scores, counts * labels)[0], _by_value(scores, counts * (1.0 - labels))[0]
    below = np.cumsum(negative, axis=1) - negative / 2
    return _ratio((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def accuracy(decisions: Array, labels: Array, counts: Array) -> Array:
    """The share [r] of decisions (0 or 1) that equal their label."""
    return _ratio(counts @ (decisions == labels).astype(np.float64), counts.sum(axis=1))


def f1(decisions: Array, labels: Array, counts: Array) -> Array:
    """Twice the true positives over all that are called or labelled positive, [r]; nan if none is."""
    return _ratio(2.0 * (counts @ (decisions * labels)), counts @ (decisions + labels))


def _centred(values: Array, share: Array) -> tuple[Array, Array]:
    """Values [r, n] minus their mean, and their standard deviation [r], exactly 0 where it is only rounding."""
    centred = values - (share * values).sum(axis=1, keepdims=True)
    spread = np.sqrt((share * centred**2).sum(axis=1))
    return centred, np.where(spread > _FLAT * np.abs(values).max(), spread, 0.0)


def _ranks(values: Array, counts: Array) -> Array:
    """Ranks [r, n] from 1 among all that are counted; equal values get the middle of their ranks."""
    held, group = _by_value(values, counts)
    ranks: Array = (np.cumsum(held, axis=1) - (held - 1.0) / 2)[:, group]
    return ranks


def _by_value(values: Array, counts: Array) -> tuple[Array, NDArray[np.int64]]:
    """How often every different value is counted, in ascending order [r, values], and the place of each pair's value."""
    order = np.argsort(values, kind="stable")
    _, group = np.unique(values, return_inverse=True)
    _, starts = np.unique(values[order], return_index=True)
    return np.add.reduceat(counts[:, order], starts, axis=1), group


def _ratio(above: Array, below: Array) -> Array:
    ratio: Array = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
    return ratio


def _resamples(n: int, seed: int) -> Iterator[Array]:
    """How often each of n pairs is drawn in n draws with replacement, for some resamples at once: [r, n]."""
    generator, rows = np.random.default_rng(seed), max(1, _BATCH // n)
    for start in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - start)
        drawn = generator.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _estimate(value: float, resampled: Array) -> MeasureEstimate:
    """The value between the 2.5 % and 97.5 % quantiles of the resamples on which it is defined."""
    defined = resampled[~np.isnan(resampled)]
    if math.isnan(value) or not len(defined):
        return MeasureEstimate(value, math.nan, math.nan)
    low, high = np.quantile(defined, (0.025, 0.975))
    return MeasureEstimate(value, float(low), float(high))
