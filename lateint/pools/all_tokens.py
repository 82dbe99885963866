"""Keep the state of every token, special tokens included."""

from __future__ import annotations

from lateint.pools.base import Pool


class AllTokens(Pool):
    """The identity: rows [n, t, h] -> rows [n, t, h]."""

    keeps_tokens = True


PART = AllTokens
