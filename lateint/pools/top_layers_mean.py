"""One vector per text from the last layers: their token states concatenated, and averaged without CLS."""

from __future__ import annotations

import torch
from torch import Tensor

from lateint.backbone.layer import TokenStates
from lateint.backbone.tokenizer import TextEncoder
from lateint.methods.registry import Setting
from lateint.pools.base import Pool

LAYERS = 4


class TopLayersMean(Pool):
    """States [n, t, layers·h] -> one row [n, 1, layers·h]: the mean over real tokens except the first (CLS), not normalised.

    Source: arXiv:1908.05161 and its code: the last four layers, concatenated.
    """

    def __init__(self, texts: TextEncoder, *, layers: int = LAYERS) -> None:
        super().__init__(texts)
        self.layers = layers

    @classmethod
    def width(cls, states_width: int, **settings: Setting) -> int:
        """Return `layers` times the width of a state."""
        return int(settings.get("layers", LAYERS) or 0) * states_width

    def __call__(self, rows: TokenStates, ids: Tensor) -> TokenStates:
        """Return the mean as a text of one row."""
        keep = torch.ones_like(ids, dtype=torch.bool) if rows.mask is None else rows.mask.clone()
        keep[:, 0] = False
        weight = keep.unsqueeze(-1).to(rows.states.dtype)
        mean = (rows.states * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True).clamp_min(1)
        return TokenStates(mean, rows.positions[:, :1], None)


PART = TopLayersMean
