"""The split: run each side alone through the lower layers, then join both sides into one sequence."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from lateint.backbone.base import Backbone
from lateint.backbone.layer import TokenStates
from lateint.backbone.tokenizer import TokenBatch
from lateint.methods.method import Layout


def states_after(backbone: Backbone, batch: TokenBatch, depths: Iterable[int]) -> dict[int, TokenStates]:
    """Return the states [n, t, h] of a batch after each of these numbers of layers. Each layer runs once.

    States after all T layers include the family's final norm. Cost: (largest depth)·(12·t·h² + 2·t²·h) per text.
    """
    rows = TokenStates(backbone.embed(batch.ids, batch.segments, batch.positions), batch.positions, batch.mask)
    after, done = {}, 0
    for depth in sorted(set(depths)):
        rows, done = backbone.run(rows, done, depth), depth
        after[depth] = rows.with_states(backbone.final(rows.states)) if depth == len(backbone.layers) else rows
    return after


def document_start(document: Layout, query: Layout, query_tokens: int) -> int:
    """Return the position of a document's first token under its layout; `query_tokens` is used by `follow` only."""
    return {"restart": 0, "offset": query.max_length, "follow": query_tokens}[document.positions]


def join(query: TokenStates, document: TokenStates) -> TokenStates:
    """Put the query's states [1, q, h] before the states of each document [n, m, h]: [n, q + m, h]."""
    n = document.states.shape[0]
    left = query.expand(n)
    mask = None
    if document.mask is not None or left.mask is not None:
        mask = torch.cat([_full_mask(left), _full_mask(document)], dim=1)
    return TokenStates(
        torch.cat([left.states, document.states], dim=1), torch.cat([left.positions, document.positions], dim=1), mask
    )


def _full_mask(rows: TokenStates) -> Tensor:
    return torch.ones_like(rows.positions, dtype=torch.bool) if rows.mask is None else rows.mask
