"""The contract of losses: what a loss needs from a training step, and what it computes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from lateint.model.document import Document
from lateint.model.model import Model
from lateint.train.step import StepOutput


class Loss(ABC):
    """Maps the output of a training step to a scalar.

    A subclass implements `__call__` and says what it needs. It is built as `PART(**settings)`; settings are keyword-only.
    """

    needs_scores = True
    """True if it reads the student's scores of candidate lists."""
    needs_teacher_scores = False
    """True if it reads a teacher's scores; False: it learns from labels, or from the model itself."""
    needs_teacher_model = False
    """True if it reads the teacher's layers or vectors, not only its scores."""
    reads_trace = False
    """True if it reads the student's joint token states layer by layer."""

    def fit(self, student: Model, teacher: Model, documents: Sequence[Document]) -> None:
        """Fit the loss on texts, once, before its first step; most losses have nothing to fit."""
        return

    @abstractmethod
    def __call__(self, step: StepOutput) -> Tensor:
        """Compute the loss [] of one step."""
