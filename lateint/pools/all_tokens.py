"""Keep the state of every token, special tokens included."""

from __future__ import annotations

from torch import Tensor

from lateint.backbone.layer import Rows
from lateint.tokens import TextEncoder


class AllTokens:
    """The identity: rows [n, t, h] -> rows [n, t, h]."""

    def __init__(self, texts: TextEncoder) -> None:
        self.texts = texts

    def __call__(self, rows: Rows, ids: Tensor) -> Rows:
        """The rows as they are."""
        return rows


PART = AllTokens
