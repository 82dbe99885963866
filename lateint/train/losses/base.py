"""What every loss is."""

from __future__ import annotations

from torch import Tensor

from lateint.errors import InputError
from lateint.train.step import StepOutput


class Loss:
    """What a loss says of itself. Subclasses set what they need; settings are keyword-only."""

    needs_scores = True
    needs_teacher = False  # scores of a teacher; False: it learns from labels, or from the model itself
    needs_guide = False  # the teacher's own layers or vectors, not only its scores
    reads_trace = False

    def __call__(self, outcome: StepOutput) -> Tensor:
        """The loss [] of one step."""
        raise InputError(f"{type(self).__name__} does not say what it computes")
