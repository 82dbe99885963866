"""AESI as linear maps: one map removes what the token's embedding explains; the other compresses the rest."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lateint.compressors._directions import principal
from lateint.compressors._validation import check_width, require_side
from lateint.compressors.base import FitData
from lateint.compressors.linear import Linear

_RIDGE = 1e-3  # times the mean square of side information: embeddings span fewer than h directions


class AesiLinear(Linear):
    """z = A (v - S u), v' = W z + S u; h -> c -> h with side information.

    v is a token's state. u, the side information, is the output of the document tower's embedding layer for the same token,
    as for `aesi`. Both maps are linear, so attention can absorb them: q·v' = (Wᵀ q)·z + (Sᵀ q)·u.
    A fresh A = Wᵀ is a random orthonormal map and S the identity. `fit` has closed forms for all three.
    Source: lateint, after SDR (arXiv:2110.02065, Sec. 3).
    Cost: h² + h·c multiply-adds per token to compress, and again to expand.
    """

    needs_side = True

    def __init__(self, states_width: int, *, width: int = 16) -> None:
        super().__init__(states_width, width=check_width("aesi_linear", width))
        self.side = nn.Parameter(torch.eye(states_width))

    def compress(self, states: Tensor, side: Tensor | None = None) -> Tensor:
        """Map states and side information [..., h] to codes [..., c]. Raises: InputError without side information."""
        return super().compress(states - F.linear(require_side("aesi_linear", side), self.side))

    def expand(self, codes: Tensor, side: Tensor | None = None) -> Tensor:
        """Map codes [..., c] and side information [..., h] to states [..., h]. Raises: InputError without side information."""
        return super().expand(codes) + F.linear(require_side("aesi_linear", side), self.side)

    def linear_down(self) -> Tensor | None:
        """Return None: codes are an affine map of states, which depends on the token."""
        return None

    def linear_up(self) -> Tensor | None:
        """Return None: states are an affine map of codes, which depends on the token."""
        return None

    def fit(self, data: FitData, trained: frozenset[str] = frozenset()) -> dict[str, float]:
        """Fit all three maps, unless they were trained. Returns: "kept", the share of squared length that comes back."""
        if trained:
            return {}
        sample = data.documents
        return {"kept": self.fit_with_side(sample.states, require_side("aesi_linear", sample.side))}

    @torch.no_grad()
    def fit_with_side(self, states: Tensor, side: Tensor) -> float:
        """Fit S by least squares of states [n, h] on side information [n, h], then A and W to directions of the residual.

        Returns: the share of the states' squared length that comes back. Cost: 2·n·h² + 2·h³.
        """
        v, u = states.double(), side.double()
        h = u.shape[1]
        gram = u.T @ u
        ridge = _RIDGE * gram.diagonal().mean() * torch.eye(h, dtype=torch.float64)
        explained = torch.linalg.solve(gram + ridge, u.T @ v)
        residual = v - u @ explained
        basis = F.pad(principal(residual, min(self.width, h)), (0, max(0, self.width - h)))
        self.side.copy_(explained.T)
        self.down.copy_(basis.T)
        self.up.copy_(basis)
        lost = residual - residual @ basis @ basis.T
        return float(1 - lost.square().sum() / v.square().sum())


PART = AesiLinear
