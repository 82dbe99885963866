"""Keep the first token states of a text, after the encoder has read the whole text."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lateint.backbone.layer import TokenStates
from lateint.backbone.tokenizer import TextEncoder
from lateint.pools.base import Pool


class First(Pool):
    """States [n, t, h] -> the first `tokens` of them. Later tokens are dropped, but the kept states have attended to them.

    As the pool of a vector, `tokens=1` gives the state of CLS. `normalise`: the kept states have length 1.
    Source: arXiv:2010.03099, Sec. 3 (truncated output sequences).
    """

    def __init__(self, texts: TextEncoder, *, tokens: int = 16, normalise: bool = False) -> None:
        super().__init__(texts)
        self.tokens, self.normalise = tokens, normalise

    def __call__(self, rows: TokenStates, ids: Tensor) -> TokenStates:
        """Return the first states with their positions and mask."""
        mask = None if rows.mask is None else rows.mask[:, : self.tokens]
        states = rows.states[:, : self.tokens]
        return TokenStates(F.normalize(states, dim=-1) if self.normalise else states, rows.positions[:, : self.tokens], mask)


PART = First
