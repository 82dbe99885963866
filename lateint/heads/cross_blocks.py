"""Cross-attention blocks over frozen documents: EARL/MORES, MICE, ours. Documents are never updated."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.backbone.layer import Attention, FeedForward, Layer, Rows
from lateint.errors import InputError
from lateint.heads.cosine import cosine
from lateint.heads.evidence import Evidence
from lateint.method import Depth, Method, resolve_depth
from lateint.split import Candidates, Query

Order = Literal["cross_then_self", "self_then_cross"]
Residual = Literal["none", "cosine", "evidence"]


class CrossBlock(nn.Module):
    """Query rows attend to a document and to each other, then pass a feed-forward. Starts as a copy of a layer.

    Cross-attention carries no joint positions, so rotary families lose theirs there.
    """

    def __init__(self, layer: Layer, order: Order, up: Tensor | None) -> None:
        super().__init__()
        self.cross: Attention = copy.deepcopy(layer.attention)
        self.cross.rotary = self.cross.window = None
        self.own: Attention = copy.deepcopy(layer.attention)
        self.own.window = None
        self.feed_forward: FeedForward = copy.deepcopy(layer.feed_forward)
        self.order = order
        if up is not None:
            self.cross.key, self.cross.value = _folded(self.cross.key, up), _folded(self.cross.value, up)

    def forward(self, rows: Rows, document: Rows) -> Rows:
        """Rows [n, q, h] after the block. Cost: 14·q·h² + 2·q²·h + 2·q·m·h + 2·m·h·(width of the document's rows)."""
        for step in self.order.split("_then_"):
            context = document if step == "cross" else rows
            rows = rows.with_states((self.cross if step == "cross" else self.own)(rows, context))
        return rows.with_states(self.feed_forward(rows.states))


def _folded(linear: Any, up: Tensor) -> nn.Linear:
    """W(U z) + b as one map of z: keys and values straight from codes [.., c]."""
    folded = nn.Linear(up.shape[1], linear.weight.shape[0])
    with torch.no_grad():
        folded.weight.copy_(linear.weight @ up)
        folded.bias.copy_(linear.bias)
    return folded


class CrossBlocks(nn.Module):
    """X blocks, then one linear readout; optionally added to the base cosine or to `evidence`.

    Settings: `blocks` X; `first`, the layer that block 0 is copied from (a depth such as "T-2"); `order`,
    `cross_then_self` (MORES) or `self_then_cross` (MICE); `readout`, the `cls` row or the `mean` of the rows; `residual`,
    what the readout, zero when fresh, is added to. With `evidence` each row also learns how well it matched.
    A linear compressor is folded into keys and values of post-norm families, exactly; elsewhere codes are expanded.
    Source: arXiv:2004.13313, Sec. 3 and arXiv:2602.16299, Sec. 3; the residual is ours.
    """

    needs_classifier = False

    def __init__(
        self,
        backbone: Backbone,
        method: Method,
        compressor: Any = None,
        *,
        blocks: int = 2,
        first: Depth = "T-2",
        order: Order = "cross_then_self",
        readout: Literal["cls", "mean"] = "cls",
        residual: Residual = "none",
    ) -> None:
        super().__init__()
        chosen = _check(backbone, blocks, first, (order, readout, residual))
        self.backbone, self.compressor = (backbone,), (compressor,)
        up = getattr(compressor, "up", None)
        self.on_codes = isinstance(up, Tensor) and not chosen[0].attention.pre_norm
        self.blocks = nn.ModuleList(CrossBlock(layer, order, up if self.on_codes else None) for layer in chosen)
        self.readout_rows, self.residual = readout, residual
        self.readout = nn.Linear(backbone.width, 1)
        nn.init.zeros_(self.readout.bias)
        nn.init.normal_(self.readout.weight, std=0.02 if residual == "none" else 0.0)
        self.scale = nn.Parameter(torch.tensor(20.0)) if residual == "cosine" else None
        self.evidence = Evidence(backbone, method, compressor) if residual == "evidence" else None
        self.matched = nn.Parameter(torch.zeros(backbone.width)) if residual == "evidence" else None

    @property
    def reads(self) -> tuple[str, ...]:
        """Stored arrays that scoring needs."""
        return ("states",) if self.residual == "none" else ("states", "vector")

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Scores [n] float32 of n candidates."""
        document = self._document(docs)
        rows = query.rows.expand(len(document.states))
        base: Tensor | float = 0.0
        if self.evidence is not None and self.matched is not None:
            best = self.evidence.best(query, docs)
            base = self.evidence.combine(query, docs, best)
            rows = rows.with_states(rows.states + (best * query.words)[:, :, None] * self.matched)
        elif self.scale is not None:
            base = self.scale.float() * cosine(query, docs)
        for block in self.blocks:
            rows = block(rows, document)
        states = self.backbone[0].final(rows.states)
        pooled = states[:, 0] if self.readout_rows == "cls" else states.mean(dim=1)
        scores: Tensor = base + self.readout(pooled)[:, 0].float()
        return scores

    def _document(self, docs: Candidates) -> Rows:
        if docs.states is None:
            raise InputError("head 'cross_blocks' reads 'states', which these candidates do not hold")
        compressor = self.compressor[0]
        if compressor is not None and not self.on_codes:
            docs = replace(docs, states=compressor.expand(docs.states))
        assert docs.states is not None
        n, m = docs.states.shape[:2]
        return Rows(docs.states, torch.arange(m, device=docs.states.device).expand(n, m), docs.mask)


def _check(backbone: Backbone, blocks: int, first: Depth, choices: tuple[str, str, str]) -> tuple[Layer, ...]:
    """The layers that the blocks are copied from. Raises: InputError for settings out of range."""
    start, total = resolve_depth(first, len(backbone.layers)), len(backbone.layers)
    if not 1 <= blocks <= total - start:
        raise InputError(f"{blocks} blocks from layer {start} of {total}; expected 1..{total - start}")
    known = (("cross_then_self", "self_then_cross"), ("cls", "mean"), ("none", "cosine", "evidence"))
    for name, choice, allowed in zip(("order", "readout", "residual"), choices, known, strict=True):
        if choice not in allowed:
            raise InputError(f"{name}={choice!r}; expected one of {', '.join(allowed)}")
    return backbone.layers[start : start + blocks]


PART = CrossBlocks
