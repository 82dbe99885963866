"""Agreement of pair scores with labels: correlations for graded labels; accuracy, F1 and AUC for binary labels.

Every measure takes a count per pair. The same code then computes the value (all counts are 1) and, without sorting again,
the values on many bootstrap resamples at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lateint_eval.formats.records import Json
from lateint_eval.measures.significance import RESAMPLES
from lateint_store.errors import InputError

Array = NDArray[np.float64]
Kind = Literal["binary", "graded"]
Measure = Callable[[Array, Array, Array], Array]
_BATCH = 100_000  # counts in memory at once: 0.8 MB, which fits in the processor's cache
_FLAT = 1e-12  # a standard deviation below this share of the largest value is a rounding error


@dataclass(frozen=True, slots=True)
class Threshold:
    """The lowest score that counts as positive, and how it was chosen."""

    value: float
    origin: str


@dataclass(frozen=True, slots=True)
class MeasureEstimate:
    """The value of a measure and its 95 % percentile bootstrap interval over pairs; nan if undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PairEvaluation:
    """All measures of n scored pairs, by name."""

    n: int
    kind: Kind
    mean_label: float  # for binary labels, this is the share of positive pairs
    estimates: dict[str, MeasureEstimate]
    threshold: Threshold | None = None

    def warnings(self) -> list[str]:
        """Return a warning if measures are undefined on these scores."""
        undefined = [name for name, each in self.estimates.items() if math.isnan(each.value)]
        if not undefined:
            return []
        return [f"all {self.n} pairs have the same score, so {' and '.join(undefined)} are not defined"]

    def to_json(self) -> Json:
        """Return all values as JSON with full precision; undefined values are null."""
        measures = {
            name: {key: None if math.isnan(value) else value for key, value in asdict(each).items()}
            for name, each in self.estimates.items()
        }
        threshold = None if self.threshold is None else asdict(self.threshold)
        return {"n": self.n, "labels": self.kind, "mean_label": self.mean_label, "threshold": threshold, "measures": measures}

    def to_text(self) -> str:
        """Format a summary of the pairs and a table with one row per measure."""
        lines = [f"{self.n} pairs, graded labels, mean {self.mean_label:.2f}"]
        if self.threshold is not None:
            lines = [f"{self.n} pairs, binary labels, {self.mean_label:.1%} positive"]
            lines.append(f"positive if the score is at least {self.threshold.value:.6g} ({self.threshold.origin})")
        lines += ["", f"{'measure':<8}  {'value':>7}  95 % interval"]
        for name, each in self.estimates.items():
            lines.append(f"{name:<8}  {each.value:7.4f}  [{each.low:.4f}, {each.high:.4f}]")
        return "\n".join(lines) + "\n"


def label_kind(labels: Array) -> Kind:
    """Return the kind of the labels: `binary` (exactly the values 0 and 1) or `graded` (three different values or more).

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
    """Evaluate scores [n] against labels [n]: Pearson and Spearman for graded labels; accuracy, F1 and AUC for binary ones.

    The bootstrap draws `RESAMPLES` times n pairs with replacement from a generator seeded with `seed`. A resample on which a
    measure is undefined is left out of the interval of that measure.
    Args: `threshold` applies to binary labels only; without it, pairs with a score of at least 0 are positive.
    Raises: InputError for labels of neither kind, and for a threshold with graded labels.
    Cost: RESAMPLES * n draws and about 40 operations for each.
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
    """Return the measures by name, each with its input: for binary labels if there is a threshold, else for graded ones."""
    if threshold is None:
        return {"Pearson": (pearson, scores), "Spearman": (spearman, scores)}
    decisions = (scores >= threshold.value).astype(np.float64)
    return {"accuracy": (accuracy, decisions), "F1": (f1, decisions), "AUC": (auc, scores)}


def best_threshold(scores: Array, labels: Array) -> float:
    """Find the threshold with the highest accuracy on these pairs.

    Candidates are the midpoints between neighbouring scores, the lowest score (all positive) and a value above the highest
    score (all negative). Of equally good thresholds the lowest is returned.

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
    """Compute Pearson's correlation [r] of scores [n] and labels [n], with pair i counted counts[r, i] times.

    The value is nan where scores or labels are constant.
    """
    share = counts / counts.sum(axis=1, keepdims=True)
    (left, left_spread), (right, right_spread) = _centred(scores, share), _centred(labels, share)
    return _ratio((share * left * right).sum(axis=1), left_spread * right_spread)


def spearman(scores: Array, labels: Array, counts: Array) -> Array:
    """Compute Spearman's correlation [r]: Pearson's correlation of the ranks; equal values get their mean rank."""
    return pearson(_ranks(scores, counts), _ranks(labels, counts), counts)


def auc(scores: Array, labels: Array, counts: Array) -> Array:
    """Compute the area under the ROC curve [r]: the share of (positive, negative) in the right order; a tie counts half."""
    positive, negative = _by_value(scores, counts * labels)[0], _by_value(scores, counts * (1.0 - labels))[0]
    below = np.cumsum(negative, axis=1) - negative / 2
    return _ratio((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def accuracy(decisions: Array, labels: Array, counts: Array) -> Array:
    """Compute the share [r] of decisions (0 or 1) that equal their labels."""
    return _ratio(counts @ (decisions == labels).astype(np.float64), counts.sum(axis=1))


def f1(decisions: Array, labels: Array, counts: Array) -> Array:
    """Compute F1 [r]: 2 TP / (predicted positives + labelled positives); nan if both are zero."""
    return _ratio(2.0 * (counts @ (decisions * labels)), counts @ (decisions + labels))


def _centred(values: Array, share: Array) -> tuple[Array, Array]:
    """Return values minus their mean [r, n], and standard deviations [r], set to 0 where they are rounding errors."""
    centred = values - (share * values).sum(axis=1, keepdims=True)
    spread = np.sqrt((share * centred**2).sum(axis=1))
    return centred, np.where(spread > _FLAT * np.abs(values).max(), spread, 0.0)


def _ranks(values: Array, counts: Array) -> Array:
    """Return ranks [r, n] from 1, with repeated pairs counted repeatedly; equal values get their mean rank."""
    held, group = _by_value(values, counts)
    ranks: Array = (np.cumsum(held, axis=1) - (held - 1.0) / 2)[:, group]
    return ranks


def _by_value(values: Array, counts: Array) -> tuple[Array, NDArray[np.int64]]:
    """Return the total count of each distinct value in ascending order [r, values], and the index of each pair's value [n]."""
    order = np.argsort(values, kind="stable")
    _, group = np.unique(values, return_inverse=True)
    _, starts = np.unique(values[order], return_index=True)
    return np.add.reduceat(counts[:, order], starts, axis=1), group


def _ratio(above: Array, below: Array) -> Array:
    ratio: Array = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
    return ratio


def _resamples(n: int, seed: int) -> Iterator[Array]:
    """Yield batches [r, n] of bootstrap resamples: how often each of n pairs is drawn in n draws with replacement."""
    generator, rows = np.random.default_rng(seed), max(1, _BATCH // n)
    for start in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - start)
        drawn = generator.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _estimate(value: float, resampled: Array) -> MeasureEstimate:
    """Combine a value with the 2.5 % and 97.5 % quantiles of the resamples on which the measure is defined."""
    defined = resampled[~np.isnan(resampled)]
    if math.isnan(value) or not len(defined):
        return MeasureEstimate(value, math.nan, math.nan)
    low, high = np.quantile(defined, (0.025, 0.975))
    return MeasureEstimate(value, float(low), float(high))
