"""A linear map to c numbers a token, and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lateint.compressors._directions import orthonormal, principal
from lateint.compressors._validation import check_width


class Linear(nn.Module):
    """z = A x, x' = W z; h -> c -> h. No bias and no LayerNorm, so that attention can absorb both maps.

    Fresh: A = Wᵀ is a random orthonormal map. `fit` puts principal directions of given states in its place.
    Cost: h·c multiply-adds a token and direction.
    """

    needs_side = False

    def __init__(self, states_width: int, *, width: int = 128) -> None:
        super().__init__()
        self.width = check_width("linear", width)
        self.down = nn.Parameter(orthonormal(width, states_width))
        self.up = nn.Parameter(self.down.detach().T.clone(memory_format=torch.contiguous_format))

    def compress(self, states: Tensor, side: Tensor | None = None) -> Tensor:
        """States [..., h] -> codes [..., c]."""
        return F.linear(states, self.down)

    def expand(self, codes: Tensor, side: Tensor | None = None) -> Tensor:
        """Codes [..., c] -> states [..., h]."""
        return F.linear(codes, self.up)

    @torch.no_grad()
    def fit(self, states: Tensor) -> float:
        """Keep the c directions that hold most of states [n, h], each state counted at length 1.

        Not centred: a common direction of all states is worth storing once a token, because cosines need it.
        Returns: the share of the squared length that is kept.
        """
        unit = F.normalize(states.double(), dim=-1)
        h = unit.shape[1]
        basis = F.pad(principal(unit, min(self.width, h)), (0, max(0, self.width - h)))  # beyond h there is no direction
        self.down.copy_(basis.T)
        self.up.copy_(basis)
        return float((unit @ basis).square().sum() / unit.square().sum())


PART = Linear
