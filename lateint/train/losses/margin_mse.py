"""Margin-MSE: the student's margin between positive and negative against the teacher's."""

from __future__ import annotations

from torch import Tensor

from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class MarginMse(Loss):
    """Mean of ((s⁺ - s⁻) - (t⁺ - t⁻))² over queries and negatives. Source: arXiv:2010.02666, Sec. 3.

    Zero exactly at equal margins, so the teacher's scale matters and a constant added to all scores does not.
    """

    needs_teacher = True

    def __call__(self, outcome: StepOutput) -> Tensor:
        """The loss []."""
        scores, teacher = outcome.scores, outcome.taught("margin_mse")
        ours, theirs = scores[:, :1] - scores[:, 1:], teacher[:, :1] - teacher[:, 1:]
        return (ours - theirs).pow(2).mean()


PART = MarginMse
