"""Drop punctuation tokens, as ColBERT does for documents."""

from __future__ import annotations

import string

import torch
from torch import Tensor

from lateint.backbone.layer import TokenStates
from lateint.backbone.tokenizer import TextEncoder
from lateint.pools.base import Pool


class NoPunctuation(Pool):
    """States [n, t, h] -> the same states with ASCII punctuation masked out; special tokens are kept.

    A text of nothing but punctuation keeps all its tokens: it would have no state to compare.
    Source: arXiv:2004.12832, Sec. 3.2.
    """

    keeps_tokens = True

    def __init__(self, texts: TextEncoder) -> None:
        super().__init__(texts)
        found = (texts.raw.token_to_id(mark) for mark in string.punctuation)
        self.dropped = torch.tensor(sorted(i for i in found if i is not None), device="cpu")

    def __call__(self, rows: TokenStates, ids: Tensor) -> TokenStates:
        """Mask punctuation; states do not change."""
        keep = ~torch.isin(ids, self.dropped.to(ids.device))
        if rows.mask is not None:
            keep = keep & rows.mask
        nothing = ~keep.any(dim=1, keepdim=True)  # only where a tokenizer adds no special tokens
        return TokenStates(rows.states, rows.positions, keep | (nothing if rows.mask is None else nothing & rows.mask))


PART = NoPunctuation
