"""Attention MSE: PreTTR's first stage, which trains the compressor to leave the layers above undisturbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lateint.backbone.layer import TokenStates
from lateint.errors import InputError
from lateint.model.model import Model
from lateint.train.data import Example
from lateint.train.features import Live
from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class AttentionMse(Loss):
    """MSE of attention probabilities in layers L..T, with the compressor against without; mean over layers and lists.

    Without compression the layers run as they are, and no gradient flows through them; nor does any reach the layers
    below L from a document. Zero where the compressor is bypassed. Source: arXiv:2004.14255, Sec. 3.2; the mean over
    layers is ours, the paper's weighting is not known to us.
    """

    needs_scores = False

    def __call__(self, outcome: StepOutput) -> Tensor:
        """The loss []."""
        model = outcome.model
        if model.compressor is None or not hasattr(model.head, "trace"):
            raise InputError("loss 'attention_mse' needs a compressor below joint layers, such as prettr's bottleneck")
        losses = []
        for example in outcome.examples:
            past, through = _traces(model, example)
            with torch.no_grad():
                wanted = _probabilities(model, past)
            found = _probabilities(model, through)
            losses += [(ours - theirs).pow(2).mean() for ours, theirs in zip(found, wanted, strict=True)]
        return torch.stack(losses).mean()


def _traces(model: Model, example: Example) -> tuple[Sequence[TokenStates], Sequence[TokenStates]]:
    """The joined rows before each layer from L on, past the compressor and through it."""
    live, rows = Live(model), model.document_tokens(example.documents)
    query = live.query(example.query)
    with torch.no_grad():  # a document's states are what a store holds: the layers below L do not bend to the compressor
        kept, side = model.document_rows(rows)
        states = replace(live.arrays(rows), states=kept.states, mask=kept.mask)
        past: Sequence[TokenStates] = model.head.trace(query, states, compressed=False)
    codes = replace(states, states=model.compressor.compress(kept.states, side))
    through: Sequence[TokenStates] = model.head.trace(query, codes)
    return past, through


def _probabilities(model: Model, trace: Sequence[TokenStates]) -> list[Tensor]:
    layers = model.backbone.layers[model.method.depth :]
    return [layer.attention.probabilities(rows, rows) for layer, rows in zip(layers, trace[:-1], strict=True)]


PART = AttentionMse
