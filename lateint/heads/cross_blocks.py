"""Cross-attention blocks over frozen documents: EARL/MORES, MICE, ours. Documents are never updated."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.backbone.layer import Layer, TokenStates
from lateint.compressors.base import Compressor
from lateint.errors import InputError
from lateint.heads._cross_block import CrossBlock
from lateint.heads._matches import Matches, linear_readout
from lateint.heads._validation import (
    Attend,
    Cache,
    Order,
    Readout,
    Residual,
    Slots,
    check_absorbs,
    check_choices,
    check_expands,
    require_states,
)
from lateint.heads.base import Head, HeadFitData, TokenShares
from lateint.heads.cosine import cosine
from lateint.heads.evidence import Evidence
from lateint.heads.inputs import Candidates, Query
from lateint.methods.method import Depth, Method, resolve_depth


class CrossBlocks(Head):
    """X blocks and one linear readout, optionally added to the base cosine or to `evidence`.

    Settings:
    - `blocks`: X. `first`: the layer that block 0 is copied from (a depth such as "T-2"). `order`: `cross_then_self`
      (MORES) or `self_then_cross` (MICE).
    - `readout`: the `cls` row, the `mean` of the rows, or (ours) `matches`, their max similarities with the frozen document,
      see `heads/_matches.py`.
    - `residual`: what the readout is added to. A fresh readout is zero, unless it is `matches`. It is multiplied by √h,
      because scores of a residual span tens and an optimizer's steps are small. With `evidence`, each row also receives its own
      max similarity; `document_map` is a setting of that term.
    - `cache`: what a store holds per token, its `states` (S1 in the paper, h numbers) or every block's `keys_values` (S2,
      2·X·h numbers; then no document state is projected online, and other blocks need another store). Train with
      `states`: the scores are the same.
    - `gate` (ours, after arXiv:2003.04887): the initial value of a learned factor on each block's update; with 0, training
      starts from the readout without any block. None, as published: no factor.
    - `attend`: `materialised` projects every code or state of a document to keys and values; `absorbed` (ours) attends to codes
      directly, see `heads/_absorbed.py`, with the same weights and scores.
    - `slots` (ours): the rows that blocks update, all `tokens` of the query as published, its `cls` row alone, or one row that
      is the `mean` of its text tokens. `own` (ours): True if rows also attend to each other.
    A linear compressor is folded into keys and values of post-norm families, exactly; elsewhere codes are expanded.
    Source: arXiv:2004.13313, Sec. 3 and arXiv:2602.16299, Sec. 3; the residual is ours.
    """

    def __init__(
        self,
        backbone: Backbone,
        method: Method,
        compressor: Compressor | None = None,
        *,
        blocks: int = 2,
        first: Depth = "T-2",
        order: Order = "cross_then_self",
        readout: Readout = "cls",
        residual: Residual = "none",
        cache: Cache = "states",
        gate: float | None = None,
        attend: Attend = "materialised",
        slots: Slots = "tokens",
        own: bool = True,
        document_map: bool = True,
    ) -> None:
        super().__init__(backbone, compressor)
        check_expands(compressor, "cross_blocks")
        check_choices(own, order=order, readout=readout, residual=residual, cache=cache, attend=attend, slots=slots)
        chosen = _copied(backbone, blocks, first)
        up, pre_norm = None if compressor is None else compressor.linear_up(), chosen[0].attention.pre_norm
        self.on_codes = up is not None and not pre_norm
        self.absorbs = attend == "absorbed"
        if self.absorbs:
            check_absorbs(cache, pre_norm, compressor is None or self.on_codes)
        made = [CrossBlock(layer, order, up if self.on_codes else None, gate, own) for layer in chosen]
        for block in made:
            block.cross.cached, block.absorbs = cache == "keys_values", self.absorbs
        self.blocks = nn.ModuleList(made)
        self.readout_rows, self.residual, self.cache, self.slots = readout, residual, cache, slots
        self.matches = Matches(backbone.width) if readout == "matches" else None
        std = 0.02 if residual == "none" else 0.0
        self.readout: Any = linear_readout(backbone.width, std) if self.matches is None else None
        self.scale = nn.Parameter(torch.tensor(20.0)) if residual == "cosine" else None
        self.evidence = Evidence(backbone, method, compressor, document_map=document_map) if residual == "evidence" else None
        matches_text = residual == "evidence" and slots != "cls"  # CLS is not a text token, so it has no match
        self.matched = nn.Parameter(torch.zeros(backbone.width)) if matches_text else None

    @property
    def reads(self) -> tuple[str, ...]:
        """The stored arrays that scoring needs."""
        return ("states",) if self.residual == "none" else ("states", "vector")

    @property
    def stored_width(self) -> int | None:
        """Numbers stored per token with `keys_values`; None: the width of the compressor or the backbone."""
        return 2 * len(self.blocks) * self.backbone.width if self.cache == "keys_values" else None

    def store(self, states: Tensor) -> Tensor:
        """Map states or codes [n, m, c] to what is stored: themselves, or keys and values block by block [n, m, 2·X·h]."""
        if self.cache == "states":
            return states
        context, blocks = self._expanded(states), cast(list[CrossBlock], self.blocks)
        return torch.cat([block.cross.keys_values(context) for block in blocks], dim=-1)

    def stored_tensors(self) -> dict[str, Tensor]:
        """Return the weights that stored keys and values pass through, by their names in this head."""
        if self.cache == "states":
            return {}
        used = ("cross.key.", "cross.value.", "cross.norm.")
        return {name: t for name, t in self.blocks.state_dict(prefix="blocks.").items() if any(part in name for part in used)}

    def evidence_term(self) -> Evidence | None:
        """Return the `evidence` term that blocks are added to; None without one."""
        return self.evidence

    def fit(self, data: HeadFitData, trained: frozenset[str] = frozenset()) -> dict[str, float]:
        """Fit the evidence term, and scale projections of codes that lossy codecs shorten. Returns: "lengths", the factor."""
        fitted = {} if self.evidence is None else self.evidence.fit(data, trained)
        factor = data.lost_length() if self.on_codes else None
        if factor is None:
            return fitted
        self.scale_projections(factor)
        return fitted | {"lengths": factor}

    @torch.no_grad()
    def scale_projections(self, factor: float) -> None:
        """Scale fresh key and value projections by `factor`, to undo the norm lost in quantisation."""
        for block in cast(list[CrossBlock], self.blocks):
            for linear in (block.cross.key, block.cross.value):
                cast(Tensor, linear.weight).mul_(factor)

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Return the scores [n] float32 of n candidates."""
        base, states = self._interact(query, docs)
        if self.matches is not None:
            matched: Tensor = base + self.matches(states, query.text_mask, self._states(docs), docs.mask)
            return matched
        scores: Tensor = base + self._read(states)
        return scores

    def explain(self, query: Query, docs: Candidates) -> TokenShares:
        """Split the score of one candidate, with readout `matches` or residual `evidence`.

        Parts: those of `Matches` or `blocks`, what the readout adds; `cosine`, that of the residual.
        """
        if self.matches is None and self.evidence is None:
            raise self._cannot_explain()
        base, states = self._interact(query, docs)
        shares = TokenShares((), {} if self.scale is None else {"cosine": float(base)})
        if self.evidence is not None:
            shares = self.evidence.explain(query, docs)
        if self.matches is None:
            return shares + TokenShares((), {"blocks": float(self._read(states))})
        return shares + self.matches.explain(states, query.text_mask, self._states(docs), docs.mask)

    def _interact(self, query: Query, docs: Candidates) -> tuple[Tensor | float, Tensor]:
        """Return what the readout is added to, [n] or 0, and the rows [n, slots, h] after the last block."""
        documents, rows = self._documents(docs), self._rows(query)
        base: Tensor | float = 0.0
        if self.evidence is not None:
            similarity = self.evidence.max_similarity(query, docs)
            base = self.evidence.combine(query, docs, similarity)
            if self.matched is not None:
                per_slot = self._slots((similarity * query.text_mask)[:, :, None], query.text_mask)
                rows = rows.with_states(rows.states + per_slot * self.matched)
        elif self.scale is not None:
            base = self.scale.float() * cosine(query, docs)
        if not self.absorbs:  # absorbed attention broadcasts one query over all documents
            rows = rows.expand(len(documents[0].states))
        for block, document in zip(self.blocks, documents, strict=True):
            rows = block(rows, document)
        return base, self.backbone.final(rows.states)

    def _read(self, states: Tensor) -> Tensor:
        """Read what blocks add to the score off their last rows: [n] float32."""
        pooled = states[:, 0] if self.readout_rows == "cls" else states.mean(dim=1)
        lever = 1.0 if self.residual == "none" else math.sqrt(pooled.shape[-1])
        added: Tensor = lever * self.readout(pooled)[:, 0].float()
        return added

    def _rows(self, query: Query) -> TokenStates:
        """Return the rows that blocks update, [1, slots, h]."""
        rows = query.rows if self.slots == "tokens" else query.rows.first()
        return rows.with_states(self._slots(query.rows.states, query.text_mask))

    def _slots(self, values: Tensor, text_mask: Tensor) -> Tensor:
        """Reduce values [n, q, k] at all rows of the query to the slots: [n, slots, k]."""
        if self.slots == "mean":
            return (values * text_mask[:, None]).sum(dim=1, keepdim=True) / text_mask.sum().clamp_min(1)
        return values if self.slots == "tokens" else values[:, :1]

    def _states(self, docs: Candidates) -> Tensor:
        states = require_states(docs, "cross_blocks")
        return states if self.compressor is None else self.compressor.expand(states)

    def _documents(self, docs: Candidates) -> list[TokenStates]:
        """Return what each block attends to: the same states, or the block's own keys and values."""
        stored = require_states(docs, "cross_blocks")
        n, m = stored.shape[:2]
        positions = torch.arange(m, device=stored.device).expand(n, m)
        if self.cache == "keys_values":
            return [TokenStates(own, positions, docs.mask) for own in stored.chunk(len(self.blocks), dim=-1)]
        return [TokenStates(self._expanded(stored), positions, docs.mask)] * len(self.blocks)

    def _expanded(self, stored: Tensor) -> Tensor:
        """Expand codes to states, unless the blocks' own maps read codes."""
        return stored if self.compressor is None or self.on_codes else self.compressor.expand(stored)


def _copied(backbone: Backbone, blocks: int, first: Depth) -> tuple[Layer, ...]:
    """Return the layers that the blocks are copied from. Raises: InputError for settings out of range."""
    start, total = resolve_depth(first, len(backbone.layers)), len(backbone.layers)
    if not 1 <= blocks <= total - start:
        raise InputError(f"{blocks} blocks from layer {start} of {total}; expected 1..{total - start}")
    return backbone.layers[start : start + blocks]


PART = CrossBlocks
