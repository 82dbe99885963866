"""The split: each side alone through the lower layers, and what both sides look like when they meet."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from lateint.backbone.base import Backbone
from lateint.backbone.layer import TokenStates
from lateint.backbone.tokenizer import TokenBatch
from lateint.methods.method import Layout


def states_after(backbone: Backbone, block: TokenBatch, depths: Iterable[int]) -> dict[int, TokenStates]:
    """Token block -> rows [n, t, h] after each of these numbers of layers, every layer run once.

    After all T layers comes the family's final norm. Cost: (largest depth)·(12·t·h² + 2·t²·h) a text.
    """
    rows = TokenStates(backbone.embed(block.ids, block.segments, block.positions), block.positions, block.mask)
    found, done = {}, 0
    for depth in sorted(set(depths)):
        rows, done = backbone.run(rows, done, depth), depth
        found[depth] = rows.with_states(backbone.final(rows.states)) if depth == len(backbone.layers) else rows
    return found


def document_start(document: Layout, query: Layout, query_tokens: int) -> int:
    """The position of a document's first token, by the layout's rule."""
    return {"restart": 0, "offset": query.max_length, "follow": query_tokens}[document.positions]


def join(query: TokenStates, document: TokenStates) -> TokenStates:
    """Query rows [1, q, h] before each document's rows [n, m, h]: [n, q + m, h]."""
    n = document.states.shape[0]
    left = query.expand(n)
    mask = None
    if document.mask is not None or left.mask is not None:
        mask = torch.cat([_full(left), _full(document)], dim=1)
    return TokenStates(
        torch.cat([left.states, document.states], dim=1), torch.cat([left.positions, document.positions], dim=1), mask
    )


def _full(rows: TokenStates) -> Tensor:
    return torch.ones_like(rows.positions, dtype=torch.bool) if rows.mask is None else rows.mask
