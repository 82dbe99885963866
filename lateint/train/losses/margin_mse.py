"""Margin-MSE: the student's margin between positive and negative against the teacher's."""

from __future__ import annotations

from torch import Tensor

from lateint.errors import InputError


class MarginMse:
    """Mean of ((s⁺ - s⁻) - (t⁺ - t⁻))² over queries and negatives. Source: arXiv:2010.02666, Sec. 3.

    Zero exactly at equal margins, so the teacher's scale matters and a constant added to all scores does not.
    """

    needs_teacher = True

    def __call__(self, scores: Tensor, teacher: Tensor | None) -> Tensor:
        """Scores and teacher scores [queries, candidates], the positive first -> loss []."""
        if teacher is None:
            raise InputError("loss 'margin_mse' needs a teacher's scores; name a teacher for this stage")
        ours, theirs = scores[:, :1] - scores[:, 1:], teacher[:, :1] - teacher[:, 1:]
        return (ours - theirs).pow(2).mean()


PART = MarginMse
