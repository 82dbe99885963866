"""AESI without its nonlinearity: what the token says by itself is taken off by one map, and the rest is stored."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lateint.compressors._directions import principal
from lateint.compressors._validation import check_width, given
from lateint.compressors.linear import Linear

RIDGE = 1e-3  # of the mean square of side information: embeddings span less than h directions


class AesiLinear(Linear):
    """z = A (v - S u), v' = W z + S u; h -> c -> h with side information.

    v is a token's state; u, the side information, is what the document tower's embedding layer gives for the same token, as
    for `aesi`. Both maps are linear, so attention can absorb them: q·v' = (Wᵀ q)·z + (Sᵀ q)·u.
    Fresh: A = Wᵀ is a random orthonormal map and S the identity. `fit` has closed forms for all three.
    Source: lateint, after SDR (arXiv:2110.02065, Sec. 3). Cost: h² + h·c multiply-adds a token and direction.
    """

    needs_side = True

    def __init__(self, states_width: int, *, width: int = 16) -> None:
        super().__init__(states_width, width=check_width("aesi_linear", width))
        self.side = nn.Parameter(torch.eye(states_width))

    def compress(self, states: Tensor, side: Tensor | None = None) -> Tensor:
        """States [..., h] and side information [..., h] -> codes [..., c]. Raises: InputError without side information."""
        return super().compress(states - F.linear(given("aesi_linear", side), self.side))

    def expand(self, codes: Tensor, side: Tensor | None = None) -> Tensor:
        """Codes [..., c] and side information [..., h] -> states [..., h]. Raises: InputError without side information."""
        return super().expand(codes) + F.linear(given("aesi_linear", side), self.side)

    @torch.no_grad()
    def fit(self, states: Tensor, side: Tensor) -> float:  # type: ignore[override]  # it needs both
        """S by least squares of states [n, h] on side information [n, h], then the directions that hold most of the rest.

        Returns: the share of the states' squared length that comes back. Cost: 2·n·h² + 2·h³.
        """
        v, u = states.double(), side.double()
        h = u.shape[1]
        gram = u.T @ u
        ridge = RIDGE * gram.diagonal().mean() * torch.eye(h, dtype=torch.float64)
        known = torch.linalg.solve(gram + ridge, u.T @ v)
        rest = v - u @ known
        basis = F.pad(principal(rest, min(self.width, h)), (0, max(0, self.width - h)))
        self.side.copy_(known.T)
        self.down.copy_(basis.T)
        self.up.copy_(basis)
        lost = rest - rest @ basis @ basis.T
        return float(1 - lost.square().sum() / v.square().sum())


PART = AesiLinear
