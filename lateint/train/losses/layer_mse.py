"""Layer-wise representation similarity: DeFormer's second distillation term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lateint.backbone.layer import TokenStates
from lateint.errors import InputError
from lateint.heads.base import JointHead
from lateint.methods.method import Layout, Method
from lateint.model.model import Model
from lateint.train.data import Example
from lateint.train.features import Live
from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class LayerMse(Loss):
    """MSE between token states of the student and the unsplit teacher after each layer above L; mean over layers.

    Both must have the same token layout: one tokenizer, one backbone size, equal lengths. Zero if nothing is split and the
    weights are equal. Source: arXiv:2005.00697, Sec. 2.3, with the mean of its code in place of the paper's sum.
    """

    needs_teacher_model = True
    reads_trace = True

    def __call__(self, step: StepOutput) -> Tensor:
        """Compute the loss []."""
        teacher, losses = step.require_teacher("layer_mse"), []
        head = _check(step.model, teacher)
        depth = step.model.method.depth
        for example, ours in zip(step.examples, step.traces, strict=True):
            with torch.no_grad():
                theirs = _trace(teacher, head, example)[depth:]
            for found, wanted in zip(ours[1:], theirs[1:], strict=True):
                difference = (found.states - wanted.states).pow(2).mean(dim=-1)
                losses.append(difference.mean() if found.mask is None else difference[found.mask].mean())
        return torch.stack(losses).mean()


def _trace(teacher: Model, head: JointHead, example: Example) -> Sequence[TokenStates]:
    live = Live(teacher)
    return head.trace(live.query(example.query), live.candidates(example.documents))


def _check(student: Model, teacher: Model) -> JointHead:
    """Return the teacher's head. Raises: InputError unless both have joint layers over the same tokens."""
    head = teacher.head
    same_tokens = _layouts(student.method) == _layouts(teacher.method)
    same_depth = len(student.backbone.layers) == len(teacher.backbone.layers) and teacher.method.depth == 0
    if not (isinstance(student.head, JointHead) and isinstance(head, JointHead) and same_tokens and same_depth):
        raise InputError(
            "loss 'layer_mse' compares joint layers of one layout: expected a cross_encoder teacher with the student's "
            f"number of layers and lengths, found {teacher.name} ({teacher.method.name}) for {student.method.name}"
        )
    return head


def _layouts(method: Method) -> list[Layout]:
    """Return the layouts that decide the tokens of query and document; positions and segments may differ."""
    return [replace(layout, positions="restart", segment=None) for layout in (method.query, method.document)]


PART = LayerMse
