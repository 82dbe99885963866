"""Attention MSE: PreTTR's first stage, which trains the compressor to leave the layers above undisturbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lateint.backbone.layer import Rows
from lateint.errors import InputError
from lateint.model import Model
from lateint.train.data import Example
from lateint.train.features import Live
from lateint.train.outcome import Loss, Outcome


class AttentionMse(Loss):
    """MSE of attention probabilities in layers L..T, with the compressor against without; mean over layers and lists.

    Without compression the layers run as they are, and no gradient flows through them. Zero where the compressor is
    bypassed. Source: arXiv:2004.14255, Sec. 3.2; the mean over layers is ours, the paper's weighting is not known to us.
    """

    needs_scores = False

    def __call__(self, outcome: Outcome) -> Tensor:
        """The loss []."""
        model = outcome.model
        if model.compressor is None or not hasattr(model.head, "trace"):
            raise InputError("loss 'attention_mse' needs a compressor below joint layers, such as prettr's bottleneck")
        losses = []
        for example in outcome.examples:
            with torch.no_grad():
                wanted = _probabilities(model, _trace(model, example, compressed=False))
            found = _probabilities(model, _trace(model, example, compressed=True))
            losses += [(ours - theirs).pow(2).mean() for ours, theirs in zip(found, wanted, strict=True)]
        return torch.stack(losses).mean()


def _trace(model: Model, example: Example, *, compressed: bool) -> Sequence[Rows]:
    """The joined rows before each layer from L on, through the compressor or past it."""
    rows = model.document_tokens(example.documents)
    query = model.query_from_tokens(model.query_tokens(example.query))
    if compressed:
        trace: Sequence[Rows] = model.head.trace(query, Live(model).arrays(rows))
        return trace
    kept, _ = model.document_rows(rows)
    candidates = replace(Live(model).arrays(rows), states=kept.states, mask=kept.mask)
    bypassed: Sequence[Rows] = model.head.trace(query, candidates, compressed=False)
    return bypassed


def _probabilities(model: Model, trace: Sequence[Rows]) -> list[Tensor]:
    layers = model.backbone.layers[model.method.depth :]
    return [layer.attention.probabilities(rows, rows) for layer, rows in zip(layers, trace[:-1], strict=True)]


PART = AttentionMse
