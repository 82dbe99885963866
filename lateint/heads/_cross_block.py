"""One block of cross-attention over a frozen document, made from a layer of the encoder."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from lateint.backbone.layer import Attention, FeedForward, Layer, Rows
from lateint.heads._cross_settings import Order


class CrossBlock(nn.Module):
    """Query rows attend to a document and to each other, then pass a feed-forward. Starts as a copy of a layer.

    Cross-attention carries no joint positions, so rotary families lose theirs there.
    """

    def __init__(self, layer: Layer, order: Order, up: Tensor | None, gate: float | None) -> None:
        super().__init__()
        self.cross: Attention = copy.deepcopy(layer.attention)
        self.cross.rotary = self.cross.window = None
        self.own: Attention = copy.deepcopy(layer.attention)
        self.own.window = None
        self.feed_forward: FeedForward = copy.deepcopy(layer.feed_forward)
        self.order = order
        self.gate = None if gate is None else nn.Parameter(torch.tensor(float(gate)))
        if up is not None:
            self.cross.key, self.cross.value = _folded(self.cross.key, up), _folded(self.cross.value, up)

    def forward(self, rows: Rows, document: Rows) -> Rows:
        """Rows [n, q, h] after the block. Cost: 14·q·h² + 2·q²·h + 2·q·m·h + 2·m·h·(width of the document's rows)."""
        before = rows.states
        for step in self.order.split("_then_"):
            context = document if step == "cross" else rows
            rows = rows.with_states((self.cross if step == "cross" else self.own)(rows, context))
        after = self.feed_forward(rows.states)
        return rows.with_states(after if self.gate is None else before + self.gate * (after - before))


def _folded(linear: Any, up: Tensor) -> nn.Linear:
    """W(U z) + b as one map of z: keys and values straight from codes [.., c]."""
    folded = nn.Linear(up.shape[1], linear.weight.shape[0])
    with torch.no_grad():
        folded.weight.copy_(linear.weight @ up)
        folded.bias.copy_(linear.bias)
    return folded
