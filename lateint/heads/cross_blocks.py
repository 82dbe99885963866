"""Cross-attention blocks over frozen documents: EARL/MORES, MICE, ours. Documents are never updated."""

from __future__ import annotations

import copy
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.backbone.layer import Attention, FeedForward, Layer, Rows
from lateint.errors import InputError
from lateint.heads._choices import check_choice
from lateint.heads._codes import check_expands
from lateint.heads._matches import Matches, linear_readout
from lateint.heads.cosine import cosine
from lateint.heads.evidence import Evidence
from lateint.method import Depth, Method, resolve_depth
from lateint.split import Candidates, Query

Order = Literal["cross_then_self", "self_then_cross"]
Readout = Literal["cls", "mean", "matches"]
Residual = Literal["none", "cosine", "evidence"]
Cache = Literal["states", "keys_values"]


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


class CrossBlocks(nn.Module):
    """X blocks, then one linear readout; optionally added to the base cosine or to `evidence`.

    Settings: `blocks` X; `first`, the layer that block 0 is copied from (a depth such as "T-2"); `order`,
    `cross_then_self` (MORES) or `self_then_cross` (MICE); `readout`, the `cls` row, the `mean` of the rows, or ours, their
    best `matches` with the frozen document, see `heads/_matches.py`; `residual`, what the readout, zero when fresh unless
    it is `matches`, is added to. With `evidence` each row also learns how well it matched.
    `cache`: what a store holds of a token, its `states` (S1 in the paper, h numbers) or every block's `keys_values` (S2,
    2·X·h numbers; nothing of the document is projected online, and another head's blocks need another store). Train with
    `states`: the scores are the same. `gate`, ours (after arXiv:2003.04887): the share of each block's update that is taken
    at first, a learned number a block, so that 0 starts from what is read out without any block; None, as published: all.
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
        readout: Readout = "cls",
        residual: Residual = "none",
        cache: Cache = "states",
        gate: float | None = None,
    ) -> None:
        super().__init__()
        check_expands(compressor, "cross_blocks")
        _check_choices(order=order, readout=readout, residual=residual, cache=cache)
        chosen = _copied(backbone, blocks, first)
        self.backbone, self.compressor = (backbone,), (compressor,)
        up = getattr(compressor, "up", None)
        self.on_codes = isinstance(up, Tensor) and not chosen[0].attention.pre_norm
        made = [CrossBlock(layer, order, up if self.on_codes else None, gate) for layer in chosen]
        for block in made:
            block.cross.cached = cache == "keys_values"
        self.blocks = nn.ModuleList(made)
        self.readout_rows, self.residual, self.cache = readout, residual, cache
        self.matches = Matches(backbone.width) if readout == "matches" else None
        std = 0.02 if residual == "none" else 0.0
        self.readout: Any = linear_readout(backbone.width, std) if self.matches is None else None
        self.scale = nn.Parameter(torch.tensor(20.0)) if residual == "cosine" else None
        self.evidence = Evidence(backbone, method, compressor) if residual == "evidence" else None
        self.matched = nn.Parameter(torch.zeros(backbone.width)) if residual == "evidence" else None

    @property
    def reads(self) -> tuple[str, ...]:
        """Stored arrays that scoring needs."""
        return ("states",) if self.residual == "none" else ("states", "vector")

    @property
    def stored_width(self) -> int | None:
        """Numbers a token of `states` where that is not what the compressor, or the backbone, gives."""
        return 2 * len(self.blocks) * self.backbone[0].width if self.cache == "keys_values" else None

    def store(self, states: Tensor) -> Tensor:
        """What is stored of states or codes [n, m, c]: themselves, or keys and values of block after block [n, m, 2·X·h]."""
        if self.cache == "states":
            return states
        context, blocks = self._expanded(states), cast(list[CrossBlock], self.blocks)
        return torch.cat([block.cross.keys_values(context) for block in blocks], dim=-1)

    def stored_tensors(self) -> dict[str, Tensor]:
        """The weights of this head that stored states pass through, by their names in it."""
        if self.cache == "states":
            return {}
        used = ("cross.key.", "cross.value.", "cross.norm.")
        return {name: t for name, t in self.blocks.state_dict(prefix="blocks.").items() if any(part in name for part in used)}

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Scores [n] float32 of n candidates."""
        documents = self._documents(docs)
        rows = query.rows.expand(len(documents[0].states))
        base: Tensor | float = 0.0
        if self.evidence is not None and self.matched is not None:
            best = self.evidence.best(query, docs)
            base = self.evidence.combine(query, docs, best)
            rows = rows.with_states(rows.states + (best * query.words)[:, :, None] * self.matched)
        elif self.scale is not None:
            base = self.scale.float() * cosine(query, docs)
        for block, document in zip(self.blocks, documents, strict=True):
            rows = block(rows, document)
        states = self.backbone[0].final(rows.states)
        if self.matches is not None:
            met: Tensor = base + self.matches(states, query.words, self._states(docs), docs.mask)
            return met
        pooled = states[:, 0] if self.readout_rows == "cls" else states.mean(dim=1)
        scores: Tensor = base + self.readout(pooled)[:, 0].float()
        return scores

    def _states(self, docs: Candidates) -> Any:
        compressor = self.compressor[0]
        return docs.states if compressor is None else compressor.expand(docs.states)

    def _documents(self, docs: Candidates) -> list[Rows]:
        """What each block attends to: the same states, or keys and values of its own."""
        if docs.states is None:
            raise InputError("head 'cross_blocks' reads 'states', which these candidates do not hold")
        n, m = docs.states.shape[:2]
        positions = torch.arange(m, device=docs.states.device).expand(n, m)
        if self.cache == "keys_values":
            return [Rows(own, positions, docs.mask) for own in docs.states.chunk(len(self.blocks), dim=-1)]
        return [Rows(self._expanded(docs.states), positions, docs.mask)] * len(self.blocks)

    def _expanded(self, stored: Tensor) -> Tensor:
        """Codes as states, unless the blocks' own maps read codes."""
        compressor = self.compressor[0]
        states: Tensor = stored if compressor is None or self.on_codes else compressor.expand(stored)
        return states


def _copied(backbone: Backbone, blocks: int, first: Depth) -> tuple[Layer, ...]:
    """The layers that the blocks are copied from. Raises: InputError for settings out of range."""
    start, total = resolve_depth(first, len(backbone.layers)), len(backbone.layers)
    if not 1 <= blocks <= total - start:
        raise InputError(f"{blocks} blocks from layer {start} of {total}; expected 1..{total - start}")
    return backbone.layers[start : start + blocks]


def _check_choices(**choices: str) -> None:
    """Raises: InputError for a setting that is none of its values, and for two that exclude each other."""
    known = {"order": Order, "readout": Readout, "residual": Residual, "cache": Cache}
    for name, choice in choices.items():
        check_choice(name, choice, known[name])
    for name, choice in (("residual", "evidence"), ("readout", "matches")):
        if choices["cache"] == "keys_values" and choices[name] == choice:
            raise InputError(f"{name}={choice!r} compares states, which cache='keys_values' does not store; use cache='states'")


PART = CrossBlocks
