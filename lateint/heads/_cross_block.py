"""One block of cross-attention over a frozen document, made from a layer of the encoder."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from lateint.backbone.layer import Attention, FeedForward, Layer, TokenStates
from lateint.heads._absorbed import Codes, absorbed
from lateint.heads._validation import Order


class CrossBlock(nn.Module):
    """Query rows attend to a document and, with `own`, to each other, then pass a feed-forward. Fresh: a copy of a layer.

    Cross-attention has no joint positions, so rotary families use no positions there. With `absorbs` it attends to codes
    without projecting them, see `heads/_absorbed.py`: different arithmetic, the same states.
    """

    absorbs = False

    def __init__(self, layer: Layer, order: Order, up: Tensor | None, gate: float | None, own: bool = True) -> None:
        super().__init__()
        self.cross: Attention = copy.deepcopy(layer.attention)
        self.cross.rotary = self.cross.window = None
        self.own: Attention | None = copy.deepcopy(layer.attention) if own else None
        if self.own is not None:
            self.own.window = None
        self.feed_forward: FeedForward = copy.deepcopy(layer.feed_forward)
        self.order = order
        self.gate = None if gate is None else nn.Parameter(torch.tensor(float(gate)))
        if up is not None:
            self.cross.key, self.cross.value = _folded(self.cross.key, up), _folded(self.cross.value, up)

    def forward(self, rows: TokenStates, document: TokenStates) -> TokenStates:
        """Run the block on rows [n, q, h], or [1, q, h] for all documents with `absorbs`: [n, q, h].

        Cost: 10·q·h², with `own` 4·q·h² + 2·q²·h more; for the document 2·q·m·h + 2·m·h·(width of its rows), or with
        `absorbs` 2·q·(heads·m + h)·(width of its rows).
        """
        before = rows.states
        for step in self.order.split("_then_"):
            if step == "cross":
                rows = rows.with_states(self.attend(rows, document))
            elif self.own is not None:
                rows = rows.with_states(self.own(rows, rows))
        after = self.feed_forward(rows.states)
        return rows.with_states(after if self.gate is None else before + self.gate * (after - before))

    def attend(self, rows: TokenStates, document: TokenStates) -> Tensor:
        """Return the rows' states [n, q, h] after attention to the document."""
        if self.absorbs:
            return absorbed(self.cross, rows, Codes(document.states, document.mask))
        states: Tensor = self.cross(rows, document)
        return states


def _folded(linear: Any, up: Tensor) -> nn.Linear:
    """Fold W(U z) + b into one map of z, so that keys and values come directly from codes [.., c]."""
    folded = nn.Linear(up.shape[1], linear.weight.shape[0])
    with torch.no_grad():
        folded.weight.copy_(linear.weight @ up)
        folded.bias.copy_(linear.bias)
    return folded
