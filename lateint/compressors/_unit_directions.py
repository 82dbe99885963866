"""Linear maps to unit directions, the base class of the quantisers `residual` and `words`."""

from __future__ import annotations

from abc import ABC

import torch
from torch import Tensor
from torch.nn import functional as F

from lateint.compressors.base import Quantizer
from lateint.compressors.linear import Linear


class UnitDirections(Linear, Quantizer, ABC):
    """z = A x / |A x|, which a subclass turns into bytes; x' = W z'; h -> c -> h."""

    def compress(self, states: Tensor, side: Tensor | None = None) -> Tensor:
        """Map states [..., h] to directions [..., c] of length 1, before quantisation."""
        return F.normalize(super().compress(states), dim=-1)

    @torch.no_grad()
    def fit_directions(self, states: Tensor) -> float:
        """Fit both maps to the principal directions of states [n, h]; W restores their mean length.

        Returns: the share of squared length that is kept.
        """
        kept = super().fit_directions(states)
        self.up.mul_(F.linear(states, self.down).norm(dim=1).mean())
        return kept
