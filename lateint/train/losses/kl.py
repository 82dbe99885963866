"""KL divergence from the teacher's distribution over a list of candidates to the student's."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lateint.errors import InputError


class Kl:
    """temperature² · KL(softmax(teacher / temperature) || softmax(scores / temperature)), mean over queries.

    The factor keeps the size of the gradient independent of the temperature, to first order. Zero at equal scores.
    """

    needs_teacher = True

    def __init__(self, *, temperature: float = 1.0) -> None:
        if temperature <= 0:
            raise InputError(f"temperature={temperature}; expected a positive number")
        self.temperature = temperature

    def __call__(self, scores: Tensor, teacher: Tensor | None) -> Tensor:
        """Scores and teacher scores [queries, candidates] -> loss []."""
        if teacher is None:
            raise InputError("loss 'kl' needs a teacher's scores; name a teacher for this stage")
        ours, theirs = (F.log_softmax(x / self.temperature, dim=-1) for x in (scores, teacher))
        return self.temperature**2 * F.kl_div(ours, theirs, log_target=True, reduction="batchmean")


PART = Kl
