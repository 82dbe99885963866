"""What one training step computed, from which every loss is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from lateint.backbone.layer import TokenStates
from lateint.errors import InputError
from lateint.model.model import Model
from lateint.train.data import Example


@dataclass(frozen=True, slots=True)
class StepOutput:
    """Scores of Q lists of C candidates, the relevant one first, with the models and examples they came from.

    scores, labels [Q, C] float32; teacher_scores [Q, C], None without a teacher; `traces`: for each list, the joint token
    states before each layer from L on and after the last, if a loss reads them (`reads_trace`).
    """

    scores: Tensor
    labels: Tensor
    teacher_scores: Tensor | None
    examples: Sequence[Example]
    model: Model
    teacher: Model | None = None
    traces: Sequence[Sequence[TokenStates]] = ()

    def require_teacher_scores(self, loss: str) -> Tensor:
        """Return the teacher's scores [Q, C]. Raises: InputError without a teacher."""
        if self.teacher_scores is None:
            raise InputError(f"loss {loss!r} needs a teacher's scores; name a teacher for this stage")
        return self.teacher_scores

    def require_teacher(self, loss: str) -> Model:
        """Return the teacher. Raises: InputError without one."""
        if self.teacher is None:
            raise InputError(f"loss {loss!r} reads a teacher's layers or vectors; name a teacher for this stage")
        return self.teacher
