"""The weighted losses of a stage, and what they need to see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lateint.backbone.layer import TokenStates
from lateint.errors import InputError
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
    """Total loss of a step: Σ weight · loss.

    Raises: InputError if a loss needs a teacher and none is named, unless it can be the student as it is now.
    """

    def __init__(self, stage: Stage, *, taught: bool) -> None:
        self.stage = stage
        self.names = [part.name for part, _ in stage.losses]
        self.losses: list[Loss] = [build("train/losses", part) for part, _ in stage.losses]
        self.weights = [weight for _, weight in stage.losses]
        if not self.losses:
            raise InputError("this stage has no loss; name at least one")
        learns_itself = any(loss.needs_scores and not loss.needs_teacher for loss in self.losses)
        for name, loss in zip(self.names, self.losses, strict=True):
            if not taught and (loss.needs_guide or (loss.needs_teacher and not learns_itself)):
                raise InputError(f"loss {name!r} learns from a teacher, and the model cannot be its own: name one (--teacher)")

    @property
    def needs_teacher(self) -> bool:
        """Whether a teacher must score the lists."""
        return bool(self.stage.pool) or any(loss.needs_teacher for loss in self.losses)

    @property
    def needs_guide(self) -> bool:
        """Whether a loss looks inside the teacher."""
        return any(loss.needs_guide for loss in self.losses)

    def fit(self, model: Model, guide: Teacher | None, documents: Sequence[Document]) -> None:
        """Let losses that are fitted on texts be fitted, once."""
        for loss in self.losses:
            fit = getattr(loss, "fit", None)
            if fit is not None and guide is not None:
                fit(model, guide.model, documents)

    def __call__(
        self, model: Model, features: Frozen | Live, examples: Sequence[Example], guide: Teacher | None
    ) -> tuple[Tensor, dict[str, float]]:
        """The total of one step, and each loss before its weight."""
        outcome = self._observe(model, features, examples, guide)
        values = [loss(outcome) for loss in self.losses]
        total = torch.stack([w * v for w, v in zip(self.weights, values, strict=True)]).sum()
        return total, {name: float(value.detach()) for name, value in zip(self.names, values, strict=True)}

    def _observe(self, model: Model, features: Frozen | Live, examples: Sequence[Example], guide: Teacher | None) -> StepOutput:
        teacher: list[Tensor] | None = None
        if guide is not None and self.needs_teacher:
            examples, teacher = self._hardest(examples, guide.score(examples))
        if self.stage.in_batch:
            examples, teacher = _with_others(examples), None
        traces: list[list[TokenStates]] = []
        nothing = torch.zeros(0, 0, device=model.device)
        scores = nothing
        if any(loss.needs_scores for loss in self.losses):
            features.prepare([e.query for e in examples], [d for e in examples for d in e.documents])
            scores = torch.stack([self._score(model, features, example, traces) for example in examples])
        return StepOutput(
            scores,
            torch.tensor([e.labels for e in examples], device=model.device),
            None if teacher is None else torch.stack(teacher),
            examples,
            model,
            None if guide is None else guide.model,
            traces,
        )

    def _score(self, model: Model, features: Frozen | Live, example: Example, traces: list[list[TokenStates]]) -> Tensor:
        query = features.query(example.query)
        if not any(loss.reads_trace for loss in self.losses):
            scored = [(places, model.score(query, docs)) for places, docs in features.batches(example.documents)]
            places = torch.tensor([place for some, _ in scored for place in some], device=model.device)
            return torch.cat([scores for _, scores in scored])[places.argsort()]
        docs = features.candidates(example.documents)
        if not hasattr(model.head, "trace"):
            raise InputError(f"head {model.method.head.name!r} has no joint layers for this loss to look at")
        trace: list[TokenStates] = []
        scores: Tensor = model.head.score(query, docs, watch=lambda _, rows: trace.append(rows))
        traces.append(trace)
        return scores

    def _hardest(self, examples: Sequence[Example], scores: list[Tensor]) -> tuple[Sequence[Example], list[Tensor]]:
        """Of a larger draw, keep the negatives that the teacher scores highest."""
        if not self.stage.pool:
            return examples, scores
        kept, left = [], []
        for example, score in zip(examples, scores, strict=True):
            places = [0, *(score[1:].topk(self.stage.negatives).indices + 1).tolist()]
            kept.append(
                Example(example.query, tuple(example.documents[i] for i in places), tuple(example.labels[i] for i in places))
            )
            left.append(score[places])
        return kept, left


def _with_others(examples: Sequence[Example]) -> list[Example]:
    """Every example with the first documents of the step's other examples as negatives."""
    firsts = [example.documents[0] for example in examples]
    out = []
    for place, example in enumerate(examples):
        others = [firsts[(place + shift) % len(firsts)] for shift in range(1, len(firsts))]
        out.append(Example(example.query, (*example.documents, *others), (*example.labels, *(0.0 for _ in others))))
    return out
