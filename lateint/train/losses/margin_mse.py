"""Margin-MSE: the student's margin between positive and negative against the teacher's."""

from __future__ import annotations

from torch import Tensor

from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class MarginMse(Loss):
    """Mean of ((s⁺ - s⁻) - (t⁺ - t⁻))² over queries and negatives. Source: arXiv:2010.02666, Sec. 3.

    Zero only at equal margins: it depends on the scale of the teacher's scores, not on a constant added to all of them.
    """

    needs_teacher_scores = True

    def __call__(self, step: StepOutput) -> Tensor:
        """Compute the loss []."""
        scores, teacher = step.scores, step.require_teacher_scores("margin_mse")
        ours, theirs = scores[:, :1] - scores[:, 1:], teacher[:, :1] - teacher[:, 1:]
        return (ours - theirs).pow(2).mean()


PART = MarginMse
