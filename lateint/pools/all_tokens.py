"""Keep the state of every token, special tokens included."""

from __future__ import annotations

from torch import Tensor

from lateint.backbone.layer import TokenStates
from lateint.pools.base import Pool


class AllTokens(Pool):
    """The identity: states [n, t, h] -> states [n, t, h]."""

    keeps_tokens = True

    def __call__(self, rows: TokenStates, ids: Tensor) -> TokenStates:
        """Return the states as they are."""
        return rows


PART = AllTokens
