"""Logit MSE: every score against the teacher's."""

from __future__ import annotations

from torch import Tensor

from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class LogitMse(Loss):
    """Mean of (s - t)² over candidates. Source: arXiv:1908.05161, Sec. 3 (DSE); DiPair regresses scores the same way.

    Unlike Margin-MSE it depends on a constant added to all scores, which pair tasks with a threshold need.
    """

    needs_teacher_scores = True

    def __call__(self, step: StepOutput) -> Tensor:
        """Compute the loss []."""
        return (step.scores - step.require_teacher_scores("logit_mse")).pow(2).mean()


PART = LogitMse
