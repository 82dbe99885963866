"""Layer-wise representation similarity: DeFormer's second distillation term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lateint.backbone.layer import TokenStates
from lateint.errors import InputError
from lateint.methods.method import Layout, Method
from lateint.model.model import Model
from lateint.train.data import Example
from lateint.train.features import Live
from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class LayerMse(Loss):
    """MSE of token states after each layer above L, the student's against the unsplit teacher's; mean over layers.

    The two must lay out the same tokens: one tokenizer, one backbone size, equal lengths. Zero if nothing is split and
    the weights are equal. Source: arXiv:2005.00697, Sec. 2.3, with the mean of its code in place of the paper's sum.
    """

    needs_guide = True
    reads_trace = True

    def __call__(self, outcome: StepOutput) -> Tensor:
        """The loss []."""
        teacher, losses = outcome.guided("layer_mse"), []
        _check(outcome.model, teacher)
        depth = outcome.model.method.depth
        for example, ours in zip(outcome.examples, outcome.traces, strict=True):
            with torch.no_grad():
                theirs = _trace(teacher, example)[depth:]
            for found, wanted in zip(ours[1:], theirs[1:], strict=True):
                difference = (found.states - wanted.states).pow(2).mean(dim=-1)
                losses.append(difference.mean() if found.mask is None else difference[found.mask].mean())
        return torch.stack(losses).mean()


def _trace(teacher: Model, example: Example) -> Sequence[TokenStates]:
    live = Live(teacher)
    trace: Sequence[TokenStates] = teacher.head.trace(live.query(example.query), live.candidates(example.documents))
    return trace


def _check(student: Model, teacher: Model) -> None:
    """Refuse two that do not lay out the same tokens in as many joint layers. Raises: InputError."""
    joint = all(hasattr(model.head, "trace") for model in (student, teacher)) and teacher.method.depth == 0
    same_tokens = _layouts(student.method) == _layouts(teacher.method)
    if not (joint and same_tokens and len(student.backbone.layers) == len(teacher.backbone.layers)):
        raise InputError(
            "loss 'layer_mse' compares joint layers of one layout: expected a cross_encoder teacher with the student's "
            f"number of layers and lengths, found {teacher.name} ({teacher.method.name}) for {student.method.name}"
        )


def _layouts(method: Method) -> list[Layout]:
    """What decides the tokens of query and document: they may stand at other positions, in other segments."""
    return [replace(layout, positions="restart", segment=None) for layout in (method.query, method.document)]


PART = LayerMse
