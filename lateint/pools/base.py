"""The contract of pools: which token states of a text are kept, or how they are averaged."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from lateint.backbone.layer import TokenStates
from lateint.backbone.tokenizer import TextEncoder
from lateint.errors import InputError
from lateint.methods.method import Layout
from lateint.methods.registry import Setting


class Pool(ABC):
    """Maps the token states [n, t, layers·h] of a batch of texts to those that are kept.

    A subclass implements `__call__`. It is built as `PART(texts, **settings)`, and its settings are keyword-only.
    """

    layers = 1
    """How many of the last layers it reads; their states are concatenated in layer order."""
    tokens: int | None = None
    """It keeps only the first `tokens` states; None: no limit."""
    normalise = False
    """True if its rows have length 1."""
    keeps_tokens = False
    """True if each output row is the state of the token at the same index, and dropped tokens are masked."""

    def __init__(self, texts: TextEncoder) -> None:
        self.texts = texts

    @abstractmethod
    def __call__(self, rows: TokenStates, ids: Tensor) -> TokenStates:
        """Return the kept states of texts with token ids [n, t]. The values of padded states must not change the result."""

    @classmethod
    def width(cls, states_width: int, **settings: Setting) -> int:
        """Return the width of a pooled row, for states of this width and the pool's settings."""
        return states_width

    def check(self, layout: Layout, depth: int) -> None:
        """Refuse a pool that reads more layers or tokens than there are. Raises: InputError."""
        name = type(self).__module__.rpartition(".")[2]
        most = max(1, depth)  # at depth 0 it reads the embeddings
        if not 1 <= self.layers <= most:
            raise InputError(f"pool {name!r} reads the last {self.layers} layers; expected 1..{most}, which run before it")
        if self.tokens is not None and not 1 <= self.tokens <= layout.max_length:
            raise InputError(
                f"pool {name!r} keeps the first {self.tokens} tokens; expected 1..{layout.max_length}, the layout's max_length"
            )
