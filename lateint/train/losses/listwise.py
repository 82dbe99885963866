"""Listwise softmax: the relevant candidate against all others of its query."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class Listwise(Loss):
    """Cross-entropy of the relevant candidate, which is the first: -log softmax(scale · scores)[0], mean over queries.

    `scale`: cosines, in -1..1, need about 20; logits need 1. Zero only in the limit of an infinitely better
    candidate. Invariant to adding a constant to all scores of a query.
    """

    def __init__(self, *, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, step: StepOutput) -> Tensor:
        """Compute the loss []."""
        scores = self.scale * step.scores
        return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.int64, device=scores.device))


PART = Listwise
