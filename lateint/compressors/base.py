"""What compressors share that turn a token into bytes by themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lateint.compressors.linear import Linear


class Tables(NamedTuple):
    """What stored bytes add to inner products with q queries, float32.

    `shares` [k, 256, q]: each of k bytes, by its place and value. `words` [vocabulary, q]: the number in the two bytes before
    those, the lower first; None where there is none.
    """

    shares: Tensor
    words: Tensor | None = None


class Quantizer(Linear, ABC):
    """Directions z = A x / |A x|, stored as bytes that stand for z' ≈ z; x' = W z'; h -> c -> h.

    What comes back is the best guess of a direction, a little shorter than 1 where it is vague, and its inner product the best
    guess of the cosine. So heads compare by inner products, and read bytes by look-ups, as `tables` has them. Which bytes stand
    for z may depend on the token's id.
    """

    @property
    @abstractmethod
    def code_bytes(self) -> int:
        """Bytes of a token in a store."""

    def compress(self, states: Tensor, side: Tensor | None = None) -> Tensor:
        """States [..., h] -> directions [..., c] of length 1, before they become codes."""
        return F.normalize(super().compress(states), dim=-1)

    @abstractmethod
    def codes(self, directions: Tensor, token_ids: Tensor) -> Tensor:
        """Directions [..., c] of tokens with these ids [...] -> uint8 [..., code_bytes]."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """uint8 [..., code_bytes] -> what they stand for, [..., c]; differentiable in the weights."""

    @abstractmethod
    def tables(self, queries: Tensor) -> Tables:
        """What bytes add to the inner product with queries [q, c]."""

    def straight_through(self, directions: Tensor, token_ids: Tensor) -> Tensor:
        """What codes give back of directions [..., c], with the gradient of the directions themselves and of the weights."""
        return self.decode(self.codes(directions, token_ids)).to(directions) + (directions - directions.detach())

    @torch.no_grad()
    def fit(self, states: Tensor) -> float:
        """Principal directions of states [n, h]; W gives back their mean length. Returns: the share of squared length kept."""
        kept = super().fit(states)
        self.up.mul_(F.linear(states, self.down).norm(dim=1).mean())
        return kept
