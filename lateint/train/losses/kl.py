"""KL divergence from the teacher's distribution over a list of candidates to the student's."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lateint.errors import InputError
from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class Kl(Loss):
    """temperature² · KL(softmax(teacher / temperature) || softmax(scale · scores / temperature)), mean over queries.

    The factor keeps the size of the gradient independent of the temperature, to first order. Zero at equal scores.
    `scale`: a student whose scores are cosines needs about 20 to match a teacher's logits. A single candidate is a binary
    decision: its softmax runs over (score, 0), as for a classifier of two labels.
    """

    needs_teacher_scores = True

    def __init__(self, *, temperature: float = 1.0, scale: float = 1.0) -> None:
        if temperature <= 0:
            raise InputError(f"temperature={temperature}; expected a positive number")
        self.temperature, self.scale = temperature, scale

    def __call__(self, step: StepOutput) -> Tensor:
        """Compute the loss []."""
        both = self.scale * step.scores, step.require_teacher_scores("kl")
        if step.scores.shape[1] == 1:
            both = F.pad(both[0], (0, 1)), F.pad(both[1], (0, 1))
        ours, theirs = (F.log_softmax(x / self.temperature, dim=-1) for x in both)
        return self.temperature**2 * F.kl_div(ours, theirs, log_target=True, reduction="batchmean")


PART = Kl
