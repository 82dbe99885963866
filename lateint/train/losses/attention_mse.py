"""Attention MSE: PreTTR's first stage, which trains the compressor to leave attention above it unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lateint.backbone.layer import TokenStates
from lateint.compressors.base import Compressor
from lateint.errors import InputError
from lateint.heads.base import JointHead
from lateint.model.model import Model
from lateint.train.data import Example
from lateint.train.features import Live
from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class AttentionMse(Loss):
    """MSE between attention probabilities with and without the compressor, in layers L..T; mean over layers and lists.

    No gradient flows through the run without the compressor, nor from a document into the layers below L. Zero if the
    compressor is bypassed. Source: arXiv:2004.14255, Sec. 3.2; the mean over layers is ours: we do not know the paper's
    weights.
    """

    needs_scores = False

    def __call__(self, step: StepOutput) -> Tensor:
        """Compute the loss []."""
        model = step.model
        if model.compressor is None or not isinstance(model.head, JointHead):
            raise InputError("loss 'attention_mse' needs a compressor below joint layers, such as prettr's bottleneck")
        losses = []
        for example in step.examples:
            past, through = _traces(model, model.head, model.compressor, example)
            with torch.no_grad():
                wanted = _probabilities(model, past)
            found = _probabilities(model, through)
            losses += [(ours - theirs).pow(2).mean() for ours, theirs in zip(found, wanted, strict=True)]
        return torch.stack(losses).mean()


def _traces(
    model: Model, head: JointHead, compressor: Compressor, example: Example
) -> tuple[Sequence[TokenStates], Sequence[TokenStates]]:
    """Return the joint token states before each layer from L on, bypassing the compressor and through it."""
    live, rows = Live(model), model.document_tokens(example.documents)
    query = live.query(example.query)
    with torch.no_grad():  # a store holds fixed document states: the compressor must not change the layers below L
        kept, side, _ = model.document_rows(rows)
        states = replace(live.arrays(rows), states=kept.states, mask=kept.mask)
        past = head.trace(query, states, compressed=False)
    codes = replace(states, states=compressor.compress(kept.states, side))
    return past, head.trace(query, codes)


def _probabilities(model: Model, trace: Sequence[TokenStates]) -> list[Tensor]:
    layers = model.backbone.layers[model.method.depth :]
    return [layer.attention.probabilities(rows, rows) for layer, rows in zip(layers, trace[:-1], strict=True)]


PART = AttentionMse
