"""A linear map to c numbers a token, and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lateint.compressors._orthonormal import orthonormal


class Linear(nn.Module):
    """z = A x, x' = W z; h -> c -> h. No bias and no LayerNorm, so that attention can absorb both maps.

    Fresh: A = Wᵀ is a random orthonormal map. `fit` puts principal directions of given states in its place.
    Cost: h·c multiply-adds a token and direction.
    """

    def __init__(self, states_width: int, *, width: int = 128) -> None:
        super().__init__()
        self.width = width
        self.down = nn.Parameter(orthonormal(width, states_width))
        self.up = nn.Parameter(self.down.detach().T.clone())

    def compress(self, states: Tensor) -> Tensor:
        """States [..., h] -> codes [..., c]."""
        return F.linear(states, self.down)

    def expand(self, codes: Tensor) -> Tensor:
        """Codes [..., c] -> states [..., h]."""
        return F.linear(codes, self.up)

    @torch.no_grad()
    def fit(self, states: Tensor) -> float:
        """Keep the c directions that hold most of states [n, h], each state counted at length 1.

        Not centred: a common direction of all states is worth storing once a token, because cosines need it.
        Returns: the share of the squared length that is kept.
        """
        unit = F.normalize(states.double(), dim=-1)
        values, vectors = torch.linalg.eigh(unit.T @ unit / len(unit))
        basis = vectors[:, -self.width :].flip(1).to(self.up)
        self.down.copy_(basis.T)
        self.up.copy_(basis)
        return float(values[-self.width :].sum() / values.sum())


PART = Linear
