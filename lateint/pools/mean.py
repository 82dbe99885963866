"""One vector per text: the mean of its token states."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lateint.backbone.layer import TokenStates
from lateint.backbone.tokenizer import TextEncoder
from lateint.pools.base import Pool


class Mean(Pool):
    """States [n, t, h] -> one row [n, 1, h]: the mean over real tokens, special ones included; length 1 if `normalise`.

    Source: arXiv:1908.10084, Sec. 3 (mean pooling).
    """

    def __init__(self, texts: TextEncoder, *, normalise: bool = True) -> None:
        super().__init__(texts)
        self.normalise = normalise

    def __call__(self, rows: TokenStates, ids: Tensor) -> TokenStates:
        """Return the mean as a text of one row."""
        if rows.mask is None:
            mean = rows.states.mean(dim=1, keepdim=True)
        else:
            weight = rows.mask.unsqueeze(-1).to(rows.states.dtype)
            mean = (rows.states * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True)
        return TokenStates(F.normalize(mean, dim=-1) if self.normalise else mean, rows.positions[:, :1], None)


PART = Mean
