"""The weighted losses of a training stage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lateint.backbone.layer import TokenStates
from lateint.errors import InputError
from lateint.heads.base import JointHead
from lateint.methods.method import Stage
from lateint.methods.registry import build
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.train.data import Example
from lateint.train.features import Frozen, Live
from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput
from lateint.train.teacher import Teacher


class Objective:
    """Computes the total loss of a step: Σ weight · loss.

    Raises: InputError if a loss needs a teacher and none is named, unless the student at the start of the stage can be
    the teacher.
    """

    def __init__(self, stage: Stage, *, taught: bool) -> None:
        self.stage = stage
        self.names = [part.name for part, _ in stage.losses]
        self.losses: list[Loss] = [build("train/losses", part) for part, _ in stage.losses]
        self.weights = [weight for _, weight in stage.losses]
        if not self.losses:
            raise InputError("this stage has no loss; name at least one")
        learns_itself = any(loss.needs_scores and not loss.needs_teacher_scores for loss in self.losses)
        for name, loss in zip(self.names, self.losses, strict=True):
            if not taught and (loss.needs_teacher_model or (loss.needs_teacher_scores and not learns_itself)):
                raise InputError(f"loss {name!r} learns from a teacher other than the model itself: name one (--teacher)")

    @property
    def needs_teacher_scores(self) -> bool:
        """True if a teacher must score the lists."""
        return bool(self.stage.pool) or any(loss.needs_teacher_scores for loss in self.losses)

    @property
    def needs_teacher_model(self) -> bool:
        """True if a loss reads the teacher's layers or vectors."""
        return any(loss.needs_teacher_model for loss in self.losses)

    def fit(self, model: Model, teacher: Teacher | None, documents: Sequence[Document]) -> None:
        """Fit the losses that need it on texts, once."""
        if teacher is not None:
            for loss in self.losses:
                loss.fit(model, teacher.model, documents)

    def __call__(
        self, model: Model, features: Frozen | Live, examples: Sequence[Example], teacher: Teacher | None
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the total of one step, and each loss before its weight."""
        step = self._step(model, features, examples, teacher)
        values = [loss(step) for loss in self.losses]
        total = torch.stack([w * v for w, v in zip(self.weights, values, strict=True)]).sum()
        return total, {name: float(value.detach()) for name, value in zip(self.names, values, strict=True)}

    def _step(self, model: Model, features: Frozen | Live, examples: Sequence[Example], teacher: Teacher | None) -> StepOutput:
        """Score the lists of a step, as far as its losses need that."""
        teacher_scores: list[Tensor] | None = None
        if teacher is not None and self.needs_teacher_scores:
            examples, scored = _labelled(examples, teacher.score(examples))
            examples, teacher_scores = self._hardest(examples, scored)
        if self.stage.in_batch:
            examples, teacher_scores = _with_in_batch_negatives(examples), None
        traces: list[list[TokenStates]] = []
        scores = torch.zeros(0, 0, device=model.device)
        if any(loss.needs_scores for loss in self.losses):
            features.prepare([e.query for e in examples], [d for e in examples for d in e.documents])
            scores = torch.stack([self._score(model, features, example, traces) for example in examples])
        return StepOutput(
            scores,
            torch.tensor([e.labels for e in examples], device=model.device),
            None if teacher_scores is None else torch.stack(teacher_scores),
            examples,
            model,
            None if teacher is None else teacher.model,
            traces,
        )

    def _score(self, model: Model, features: Frozen | Live, example: Example, traces: list[list[TokenStates]]) -> Tensor:
        query = features.query(example.query)
        if not any(loss.reads_trace for loss in self.losses):
            scored = [(indices, model.score(query, docs)) for indices, docs in features.batches(example.documents)]
            order = torch.tensor([index for indices, _ in scored for index in indices], device=model.device)
            return torch.cat([scores for _, scores in scored])[order.argsort()]
        docs, head = features.candidates(example.documents), model.head
        if not isinstance(head, JointHead):
            raise InputError(f"head {model.method.head.name!r} has no joint layers that this loss could compare")
        trace: list[TokenStates] = []
        scores = head.score(query, docs, watch=lambda _, rows: trace.append(rows))
        traces.append(trace)
        return scores

    def _hardest(self, examples: Sequence[Example], scores: list[Tensor]) -> tuple[Sequence[Example], list[Tensor]]:
        """Keep the negatives of a larger draw that the teacher scores highest."""
        if not self.stage.pool:
            return examples, scores
        kept, kept_scores = [], []
        for example, score in zip(examples, scores, strict=True):
            indices = [0, *(score[1:].topk(self.stage.negatives).indices + 1).tolist()]
            documents = tuple(example.documents[i] for i in indices)
            kept.append(Example(example.query, documents, tuple(example.labels[i] for i in indices)))
            kept_scores.append(score[indices])
        return kept, kept_scores


def _labelled(examples: Sequence[Example], scores: list[Tensor]) -> tuple[list[Example], list[Tensor]]:
    """Where no label is known, count the teacher's best as relevant."""
    found, ordered = [], []
    for example, score in zip(examples, scores, strict=True):
        if example.is_labelled:
            found.append(example)
            ordered.append(score)
            continue
        best = int(score.argmax())
        order = [best, *(place for place in range(len(score)) if place != best)]
        labels = (1.0, *(0.0 for _ in order[1:]))
        found.append(Example(example.query, tuple(example.documents[place] for place in order), labels))
        ordered.append(score[order])
    return found, ordered


def _with_in_batch_negatives(examples: Sequence[Example]) -> list[Example]:
    """Add the first documents of the step's other examples to every example, as negatives."""
    firsts = [example.documents[0] for example in examples]
    extended = []
    for index, example in enumerate(examples):
        others = [firsts[(index + shift) % len(firsts)] for shift in range(1, len(firsts))]
        labels = (*example.labels, *(0.0 for _ in others))
        extended.append(Example(example.query, (*example.documents, *others), labels))
    return extended
