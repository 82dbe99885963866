"""What one training step saw: what every loss is computed from."""

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
    """Scores of Q lists of C candidates, the relevant one first, and where they came from.

    scores, labels [Q, C] float32; teacher [Q, C], the teacher's scores, None without one; `traces`: for each list, the
    rows before each layer from L on and after the last, where a loss asked for them (`reads_trace`).
    """

    scores: Tensor
    labels: Tensor
    teacher: Tensor | None
    examples: Sequence[Example]
    model: Model
    guide: Model | None = None
    traces: Sequence[Sequence[TokenStates]] = ()

    def taught(self, loss: str) -> Tensor:
        """The teacher's scores. Raises: InputError if there is no teacher."""
        if self.teacher is None:
            raise InputError(f"loss {loss!r} needs a teacher's scores; name a teacher for this stage")
        return self.teacher

    def guided(self, loss: str) -> Model:
        """The teacher itself. Raises: InputError if there is none."""
        if self.guide is None:
            raise InputError(f"loss {loss!r} looks inside a teacher; name one for this stage")
        return self.guide
