"""Binary cross-entropy: every candidate by itself."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class Bce(Loss):
    """Cross-entropy of sigmoid(score) with the label, which may be graded in 0..1; mean over candidates.

    `balanced` gives positives and negatives of a list equal total weight, for lists of one positive and many negatives.
    """

    def __init__(self, *, balanced: bool = False) -> None:
        self.balanced = balanced

    def __call__(self, step: StepOutput) -> Tensor:
        """Compute the loss []."""
        scores, labels = step.scores, step.labels
        weight = None
        if self.balanced:
            share = labels.mean()
            weight = labels / (2 * share) + (1 - labels) / (2 * (1 - share))
        return F.binary_cross_entropy_with_logits(scores, labels, weight)


PART = Bce
