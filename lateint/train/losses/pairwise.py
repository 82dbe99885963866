"""Pairwise softmax: the relevant candidate against each other candidate, pair by pair."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class Pairwise(Loss):
    """-log softmax([s⁺, s⁻])[0] = softplus(s⁻ - s⁺), mean over queries and negatives. Source: OpenNIR's default for PreTTR.

    With one negative it equals `listwise`. Invariant to adding a constant to all scores of a query.
    """

    def __call__(self, step: StepOutput) -> Tensor:
        """Compute the loss []."""
        scores = step.scores
        return F.softplus(scores[:, 1:] - scores[:, :1]).mean()


PART = Pairwise
