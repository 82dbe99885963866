"""Cross-attention blocks over frozen documents: EARL/MORES, MICE, ours. Documents are never updated."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.backbone.layer import Layer, TokenStates
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
)
from lateint.heads.cosine import cosine
from lateint.heads.evidence import Evidence
from lateint.heads.inputs import Candidates, Query
from lateint.methods.method import Depth, Method, resolve_depth


class CrossBlocks(nn.Module):
    """X blocks, then one linear readout; optionally added to the base cosine or to `evidence`.

    Settings: `blocks` X; `first`, the layer that block 0 is copied from (a depth such as "T-2"); `order`,
    `cross_then_self` (MORES) or `self_then_cross` (MICE); `readout`, the `cls` row, the `mean` of the rows, or ours, their
    best `matches` with the frozen document, see `heads/_matches.py`; `residual`, what the readout, zero when fresh unless
    it is `matches`, is added to, √h-fold, because a residual moves by tens and an optimizer's steps are small. With
    `evidence`, see there for its `document_map`, each row also learns how well it matched.
    `cache`: what a store holds of a token, its `states` (S1 in the paper, h numbers) or every block's `keys_values` (S2,
    2·X·h numbers; nothing of the document is projected online, and another head's blocks need another store). Train with
    `states`: the scores are the same. `gate`, ours (after arXiv:2003.04887): the share of each block's update that is taken
    at first, a learned number a block, so that 0 starts from what is read out without any block; None, as published: all.
    `attend`: `materialised` projects every code or state of a document to keys and values, `absorbed`, ours, works on codes
    as they are, see `heads/_absorbed.py`: the same weights and scores. `slots`: the rows that blocks update, all `tokens` of
    the query as published, its `cls` row alone, or one row that is the `mean` of its words; `own`, whether rows attend to
    each other too; a single one would attend to itself. Both are ours.
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
        attend: Attend = "materialised",
        slots: Slots = "tokens",
        own: bool = True,
        document_map: bool = True,
    ) -> None:
        super().__init__()
        check_expands(compressor, "cross_blocks")
        check_choices(own, order=order, readout=readout, residual=residual, cache=cache, attend=attend, slots=slots)
        chosen = _copied(backbone, blocks, first)
        self.backbone, self.compressor = (backbone,), (compressor,)
        up, pre_norm = getattr(compressor, "up", None), chosen[0].attention.pre_norm
        self.on_codes = isinstance(up, Tensor) and not pre_norm
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
        meets = residual == "evidence" and slots != "cls"  # CLS is no word that could match
        self.matched = nn.Parameter(torch.zeros(backbone.width)) if meets else None

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

    @torch.no_grad()
    def lengthen(self, factor: float) -> None:
        """Attend to codes as if they were so much longer: for fresh blocks, `on_codes`, where a store keeps directions."""
        for block in cast(list[CrossBlock], self.blocks):
            for linear in (block.cross.key, block.cross.value):
                cast(Tensor, linear.weight).mul_(factor)

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Scores [n] float32 of n candidates."""
        documents, rows = self._documents(docs), self._rows(query)
        base: Tensor | float = 0.0
        if self.evidence is not None:
            best = self.evidence.best(query, docs)
            base = self.evidence.combine(query, docs, best)
            if self.matched is not None:
                met = self._slots((best * query.text_mask)[:, :, None], query.text_mask)
                rows = rows.with_states(rows.states + met * self.matched)
        elif self.scale is not None:
            base = self.scale.float() * cosine(query, docs)
        if not self.absorbs:  # what absorbs can meet one query with all documents
            rows = rows.expand(len(documents[0].states))
        for block, document in zip(self.blocks, documents, strict=True):
            rows = block(rows, document)
        states = self.backbone[0].final(rows.states)
        if self.matches is not None:
            matched: Tensor = base + self.matches(states, query.text_mask, self._states(docs), docs.mask)
            return matched
        pooled = states[:, 0] if self.readout_rows == "cls" else states.mean(dim=1)
        lever = 1.0 if self.residual == "none" else math.sqrt(pooled.shape[-1])
        scores: Tensor = base + lever * self.readout(pooled)[:, 0].float()
        return scores

    def _rows(self, query: Query) -> TokenStates:
        """The rows that blocks update, [1, slots, h]."""
        rows = query.rows if self.slots == "tokens" else query.rows.first()
        return rows.with_states(self._slots(query.rows.states, query.text_mask))

    def _slots(self, values: Tensor, words: Tensor) -> Tensor:
        """What the slots have of values [n, q, k] at all rows of the query: [n, slots, k]."""
        if self.slots == "mean":
            return (values * words[:, None]).sum(dim=1, keepdim=True) / words.sum().clamp_min(1)
        return values if self.slots == "tokens" else values[:, :1]

    def _states(self, docs: Candidates) -> Any:
        compressor = self.compressor[0]
        return docs.states if compressor is None else compressor.expand(docs.states)

    def _documents(self, docs: Candidates) -> list[TokenStates]:
        """What each block attends to: the same states, or keys and values of its own."""
        if docs.states is None:
            raise InputError("head 'cross_blocks' reads 'states', which these candidates do not hold")
        n, m = docs.states.shape[:2]
        positions = torch.arange(m, device=docs.states.device).expand(n, m)
        if self.cache == "keys_values":
            return [TokenStates(own, positions, docs.mask) for own in docs.states.chunk(len(self.blocks), dim=-1)]
        return [TokenStates(self._expanded(docs.states), positions, docs.mask)] * len(self.blocks)

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


PART = CrossBlocks
