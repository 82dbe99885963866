"""What every pool is: a choice or a mean of the token vectors of a text."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lateint.backbone.layer import TokenStates
from lateint.backbone.tokenizer import TextEncoder
from lateint.errors import InputError
from lateint.methods.method import Layout


class Pool:
    """Rows [n, t, layers·h] of a batch of texts -> the rows that survive.

    `layers`: of how many last layers it reads the states, which stand side by side in its rows, the last layer's last;
    `tokens`: so many rows it keeps at most, the first ones; None: no limit. `keeps_tokens`: its rows are tokens, each at its
    place, and those that it leaves out are masked.
    """

    layers = 1
    tokens: int | None = None
    keeps_tokens = False

    def __init__(self, texts: TextEncoder) -> None:
        self.texts = texts

    @classmethod
    def width(cls, states_width: int, **settings: Any) -> int:
        """Numbers of a pooled row, for states of this width and the pool's settings."""
        return states_width

    def check(self, layout: Layout, depth: int) -> None:
        """Refuse a pool that reads more than there is. Raises: InputError."""
        name = type(self).__module__.rpartition(".")[2]
        most = max(1, depth)  # at depth 0 it reads the embeddings
        if not 1 <= self.layers <= most:
            raise InputError(f"pool {name!r} reads the last {self.layers} layers; expected 1..{most}, which run before it")
        if self.tokens is not None and not 1 <= self.tokens <= layout.max_length:
            raise InputError(
                f"pool {name!r} keeps the first {self.tokens} tokens; expected 1..{layout.max_length}, the layout's max_length"
            )

    def __call__(self, rows: TokenStates, ids: Tensor) -> TokenStates:
        """The surviving rows of texts with these token ids [n, t]."""
        return rows
