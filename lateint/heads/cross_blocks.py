"""Cross-attention blocks over frozen documents: EARL/MORES, MICE, ours. Documents are never updated."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.backbone.layer import Attention, FeedForward, Layer, Rows
from lateint.errors import InputError
from lateint.heads.cosine import cosine
from lateint.method import Depth, Method, resolve_depth
from lateint.split import Candidates, Query


class CrossBlock(nn.Module):
    """Query rows attend to a document and to each other, then pass a feed-forward. Starts as a copy of a layer.

    Cross-attention carries no joint positions, so rotary families lose theirs there.
    """

    def __init__(self, layer: Layer, order: str) -> None:
        super().__init__()
        self.cross: Attention = copy.deepcopy(layer.attention)
        self.cross.rotary = self.cross.window = None
        self.own: Attention = copy.deepcopy(layer.attention)
        self.own.window = None
        self.feed_forward: FeedForward = copy.deepcopy(layer.feed_forward)
        self.order = order

    def forward(self, rows: Rows, document: Rows) -> Rows:
        """Rows [n, q, h] after the block. Cost: 14·q·h² + 2·q²·h + 2·q·m·h + 2·m·h²."""
        for step in self.order.split("_then_"):
            context = document if step == "cross" else rows
            rows = rows.with_states((self.cross if step == "cross" else self.own)(rows, context))
        return rows.with_states(self.feed_forward(rows.states))


class CrossBlocks(nn.Module):
    """X blocks, then one linear readout; optionally added to the base cosine.

    Settings: `blocks` X; `first`, the layer that block 0 is copied from (a depth such as "T-2"); `order`,
    `cross_then_self` (MORES) or `self_then_cross` (MICE); `readout`, the `cls` row or the `mean` of the rows;
    `residual`, score = scale·cosine + readout with the readout at zero when fresh.
    Source: arXiv:2004.13313, Sec. 3 and arXiv:2602.16299, Sec. 3; the residual is ours.
    """

    needs_classifier = False
    meets_in_codes = False

    def __init__(
        self,
        backbone: Backbone,
        method: Method,
        *,
        blocks: int = 2,
        first: Depth = "T-2",
        order: Literal["cross_then_self", "self_then_cross"] = "cross_then_self",
        readout: Literal["cls", "mean"] = "cls",
        residual: bool = False,
    ) -> None:
        super().__init__()
        start = resolve_depth(first, len(backbone.layers))
        if not 1 <= blocks <= len(backbone.layers) - start:
            raise InputError(f"{blocks} blocks from layer {start} of {len(backbone.layers)}; expected 1..{len(backbone.layers) - start}")
        if order not in ("cross_then_self", "self_then_cross") or readout not in ("cls", "mean"):
            raise InputError(f"order {order!r}, readout {readout!r}; expected cross_then_self|self_then_cross, cls|mean")
        self.reads = ("states", "vector") if residual else ("states",)
        self.backbone = (backbone,)
        self.blocks = nn.ModuleList(CrossBlock(layer, order) for layer in backbone.layers[start : start + blocks])
        self.readout_rows = readout
        self.readout = nn.Linear(backbone.width, 1)
        nn.init.zeros_(self.readout.bias)
        if residual:
            nn.init.zeros_(self.readout.weight)
        else:
            nn.init.normal_(self.readout.weight, std=0.02)
        self.scale = nn.Parameter(torch.tensor(20.0)) if residual else None

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Scores [n] float32 of n candidates."""
        if docs.states is None:
            raise InputError("head 'cross_blocks' reads 'states', which these candidates do not hold")
        n, m = docs.states.shape[:2]
        positions = torch.arange(m, device=docs.states.device).expand(n, m)
        document = Rows(docs.states, positions, docs.mask)
        rows = query.rows.expand(n)
        for block in self.blocks:
            rows = block(rows, document)
        states = self.backbone[0].final(rows.states)
        pooled = states[:, 0] if self.readout_rows == "cls" else states.mean(dim=1)
        scores: Tensor = self.readout(pooled)[:, 0].float()
        return scores if self.scale is None else scores + self.scale.float() * cosine(query, docs)


PART = CrossBlocks
