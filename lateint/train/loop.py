"""One training loop for every method: sample lists, score them, step."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lateint.errors import InputError
from lateint.method import Stage
from lateint.model import Model
from lateint.parts import build
from lateint.split import Candidates, Query
from lateint.train.data import Example, Sampler
from lateint.train.features import Frozen, Live

WARM_UP = 0.1  # share of the steps
Score = Callable[[str, Any], Tensor]


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a stage trains: `steps`, and no longer than `minutes`; the rate is at zero when the first is used up."""

    steps: int
    minutes: float = float("inf")

    def share(self, step: int, started: float) -> float:
        """How much of the budget is used up: 0..1."""
        return max(step / self.steps, (time.monotonic() - started) / 60 / self.minutes)


@dataclass(frozen=True, slots=True)
class Step:
    """The losses of one step, before their weights."""

    step: int
    loss: float
    distill: float
    seconds: float


def train_stage(
    model: Model,
    stage: Stage,
    sampler: Sampler,
    budget: Budget,
    *,
    teacher: Model | None = None,
    watch: Callable[[Step], None] | None = None,
) -> list[Step]:
    """Train some parts of a model in place.

    Args: `stage` says what and how; `sampler` draws candidate lists; `teacher` scores them for losses that need one
    (default: the model as it is now, which keeps labels of a few topics from pushing out what it knows of all others).
    Returns: the losses of every step.
    Raises: InputError for a part of the model that does not exist, or if a loss is not finite.
    """
    objective = _Objective(stage, taught=teacher is not None)
    groups = _trained(model, stage)
    features = Live(model) if {"layers", "compressor"} & set(stage.train) else Frozen(model)
    guide = _teacher(model, teacher, features) if objective.needs_teacher or stage.pool else None
    optimizer = torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.01)
    rates = [group["lr"] for group in optimizer.param_groups]
    history: list[Step] = []
    started = time.monotonic()
    for step in range(budget.steps):
        used = budget.share(step, started)
        if used >= 1:
            break
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1.0, (step + 1) / max(1.0, WARM_UP * budget.steps)) * (1 - used)
        scores, targets = _scores(model, stage, features, [sampler.draw() for _ in range(stage.queries)], guide)
        loss, distill = objective(scores, targets)
        _descend(optimizer, loss + stage.distill_weight * distill, step)
        history.append(Step(step, float(loss.detach()), float(distill.detach()), time.monotonic() - started))
        if watch is not None:
            watch(history[-1])
    return history


def _descend(optimizer: torch.optim.Optimizer, total: Tensor, step: int) -> None:
    """One step down, with gradients clipped to length 1. Raises: InputError if the loss is not finite."""
    if not torch.isfinite(total):
        raise InputError(
            f"the loss is {float(total.detach())} at step {step}; expected a finite number: lower the rate"
        )
    optimizer.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()


class _Objective:
    """The losses of a stage."""

    def __init__(self, stage: Stage, taught: bool) -> None:
        self.loss = build("train/losses", stage.loss)
        if self.loss.needs_teacher and not taught:
            raise InputError(
                f"loss {stage.loss.name!r} learns from a teacher alone, and the model cannot be its own: name one (--teacher)"
            )
        self.distill = None if stage.distill is None else build("train/losses", stage.distill)

    @property
    def needs_teacher(self) -> bool:
        return any(loss is not None and loss.needs_teacher for loss in (self.loss, self.distill))

    def __call__(self, scores: Tensor, targets: Tensor | None) -> tuple[Tensor, Tensor]:
        distill = scores.new_zeros(()) if self.distill is None else self.distill(scores, targets)
        return self.loss(scores, targets), distill


def _trained(model: Model, stage: Stage) -> list[dict[str, Any]]:
    """Parameter groups of the parts that a stage trains: maps, and vectors with scalars, which may learn faster."""
    parts = {"head": model.head, "compressor": model.compressor, "layers": model.backbone}
    if odd := [name for name in stage.train if parts.get(name) is None]:
        raise InputError(f"stage trains {odd[0]!r}, which this model does not have; it has: {', '.join(parts)}")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    chosen = [p for name in stage.train for p in parts[name].parameters()]
    if "layers" in stage.train and model.query_backbone is not None:
        chosen += list(model.query_backbone.parameters())
    if not chosen:
        raise InputError(
            f"method {model.method.name!r} has nothing to train in {', '.join(stage.train)}; train 'layers'"
        )
    for parameter in chosen:
        parameter.requires_grad_(True)
    maps, vectors = ([p for p in chosen if (p.dim() > 1) == wide] for wide in (True, False))
    groups = [{"params": maps, "lr": stage.rate}, {"params": vectors, "lr": stage.rate * stage.vector_rate}]
    return [group for group in groups if group["params"]]


def _teacher(model: Model, teacher: Model | None, features: Frozen | Live) -> Score:
    """Scores of a fixed model for a query and documents."""
    frozen = copy.deepcopy(model) if teacher is None else teacher
    own = teacher is not None or isinstance(features, Live)
    source = Frozen(frozen) if own else features

    def score(query: str, documents: Any) -> Tensor:
        with torch.no_grad():
            return frozen.score(source.query(query), source.candidates(documents))

    return score


def _scores(
    model: Model, stage: Stage, features: Frozen | Live, examples: Sequence[Example], guide: Score | None
) -> tuple[Tensor, Tensor | None]:
    """Scores and the teacher's scores: [queries, 1 + negatives], the positive first."""
    scores, targets = [], []
    features.prepare([document for example in examples for document in example.documents])
    for example in examples:
        documents = example.documents
        if guide is not None:
            target = guide(example.query, documents)
            if stage.pool:  # of a larger draw keep the negatives that the teacher finds hardest
                hardest = target[1:].topk(stage.negatives).indices + 1
                kept = [0, *hardest.tolist()]
                documents, target = tuple(documents[i] for i in kept), target[kept]
            targets.append(target)
        query: Query = features.query(example.query)
        docs: Candidates = features.candidates(documents)
        scores.append(model.score(query, docs))
    return torch.stack(scores), torch.stack(targets) if targets else None
