"""Fit the sigmoid that turns the logits of a model into probabilities of relevance: Platt scaling, without touching weights.

Source: Platt, Probabilistic Outputs for Support Vector Machines, 1999, with the step control of Lin, Lin and Weng, Machine
Learning 68:267, 2007. The probability is that of the pairs it was fitted on: if one of 20 candidates there is relevant, a
typical candidate gets 0.05. `prior` corrects the shift for another share (King and Zeng, Political Analysis 9:137, 2001).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lateint.errors import InputError
from lateint.model.activation import Sigmoid
from lateint.model.model import Model
from lateint.ranking.ranker import Ranker
from lateint_store.arguments import as_list

LIMIT = 12.0
"""Largest |scale * logit + shift| of a fitted pair: beyond it, float32 no longer tells values near 1 apart."""

_STEPS = 100
_EXACT = 1e-10


def calibrate(
    model: Model, pairs: Iterable[tuple[str, str]], labels: Iterable[float], *, prior: float | None = None
) -> Sigmoid:
    """Fit the activation of a model to labelled (query, text) pairs, set it as `model.activation`, and return it.

    `labels`: the relevance of each pair, 0 to 1. Take pairs as they will be scored, not the best and the worst alone, and none
    that trained the model. `prior`: the share of relevant pairs to assume, above 0 and below 1 (default: that of the pairs);
    with 0.5, a value above 0.5 means that relevant pairs have this logit more often than others.
    Cost: the logits of all pairs.
    Raises: InputError for labels that do not fit the pairs, that are all equal, or that do not rise with the logits.
    """
    if prior is not None and not (isinstance(prior, float) and 0 < prior < 1):
        raise InputError(f"prior={prior!r}; expected a number above 0 and below 1, or None")
    given = as_list(pairs, "pairs", "(query, text) pairs", table=True)
    wanted = _checked(as_list(labels, "labels", "numbers"), len(given))
    model.activation = fit_sigmoid(Ranker(model).logits(given), wanted, prior)
    return model.activation


def fit_sigmoid(logits: NDArray[np.float32], labels: NDArray[np.float64], prior: float | None = None) -> Sigmoid:
    """Fit scale and shift of a sigmoid to labels of 0 to 1 by maximum likelihood; see `calibrate`. Raises: InputError.

    Labels are drawn towards each other as by one more pair of each, so that separable pairs do not give an infinite scale.
    """
    centre, spread = float(np.mean(logits, dtype=np.float64)), float(np.std(logits, dtype=np.float64))
    if not spread > 0:
        raise InputError(f"all {len(logits)} logits are {centre:g}; expected at least two different ones")
    x = (logits.astype(np.float64) - centre) / spread
    positive, negative = labels.sum(), (1 - labels).sum()
    targets = (labels * (positive + 1)) / (positive + 2) + (1 - labels) / (negative + 2)
    slope, intercept = _fit(x, targets)
    if slope <= 0:
        raise InputError(f"the labels fall as the logits rise (slope {slope:.3g}); expected 1 for relevant pairs, 0 for others")
    slope, intercept = np.array([slope, intercept]) * min(1.0, LIMIT / np.abs(slope * x + intercept).max())
    if prior is not None:
        intercept += math.log(prior / (1 - prior)) - math.log(positive / negative)
    return Sigmoid(float(slope / spread), float(intercept - slope * centre / spread))


def _fit(x: NDArray[np.float64], targets: NDArray[np.float64]) -> tuple[float, float]:
    """Minimise the cross entropy of sigmoid(a x + b), which is convex, by Newton steps; halve a step that does not help."""
    rate = targets.mean()
    point, rows = np.array([0.0, np.log(rate / (1 - rate))]), np.stack([x, np.ones_like(x)])
    loss = _loss(point @ rows, targets)
    for _ in range(_STEPS):
        values = 1 / (1 + np.exp(-(point @ rows)))
        gradient = rows @ (values - targets)
        curvature = (rows * (values * (1 - values))) @ rows.T + np.eye(2) * _EXACT
        step = np.linalg.solve(curvature, gradient)
        while (lower := _loss((point - step) @ rows, targets)) > loss and np.abs(step).max() > _EXACT:
            step /= 2
        if lower > loss or np.abs(step).max() <= _EXACT:
            break
        point, loss = point - step, lower
    return float(point[0]), float(point[1])


def _loss(z: NDArray[np.float64], targets: NDArray[np.float64]) -> float:
    return float(np.sum(np.logaddexp(0, z) - targets * z))


def _checked(labels: list[float], pairs: int) -> NDArray[np.float64]:
    """Return labels as an array. Raises: InputError."""
    try:
        values = np.asarray(labels, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"labels are not numbers: {error}") from error
    if values.shape != (pairs,):
        raise InputError(f"{values.size} labels for {pairs} pairs; expected one number for each")
    if pairs == 0 or not (values.min() >= 0 and values.max() <= 1) or values.min() == values.max():
        raise InputError(f"labels {sorted(set(values.tolist()))[:3]}; expected at least two different ones of 0 to 1")
    return values
