"""A linear map from h to c numbers per token, and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lateint.compressors._directions import orthonormal, principal
from lateint.compressors._validation import check_width
from lateint.compressors.base import Compressor, FitData


class Linear(Compressor):
    """z = A x, x' = W z. Without bias and LayerNorm, so that attention can absorb both maps.

    A fresh A is a random orthonormal map, and W its transpose. `fit` replaces them by principal directions of states.
    Cost: h·c multiply-adds per token to compress, and again to expand.
    """

    expands = True

    def __init__(self, states_width: int, *, width: int = 128) -> None:
        super().__init__()
        self.width = check_width("linear", width)
        self.down = nn.Parameter(orthonormal(width, states_width))
        self.up = nn.Parameter(self.down.detach().T.clone(memory_format=torch.contiguous_format))

    def compress(self, states: Tensor, side: Tensor | None = None) -> Tensor:
        """Map states [..., h] to codes [..., c]."""
        return F.linear(states, self.down)

    def expand(self, codes: Tensor, side: Tensor | None = None) -> Tensor:
        """Map codes [..., c] to states [..., h]."""
        return F.linear(codes, self.up)

    def linear_down(self) -> Tensor | None:
        """Return A [c, h]."""
        return self.down

    def linear_up(self) -> Tensor | None:
        """Return W [h, c]."""
        return self.up

    def fit(self, data: FitData, trained: frozenset[str] = frozenset()) -> dict[str, float]:
        """Fit both maps to states of documents, unless they were trained. Returns: "kept", the share of squared length."""
        return {} if trained else {"kept": self.fit_directions(data.documents.states)}

    @torch.no_grad()
    def fit_directions(self, states: Tensor) -> float:
        """Keep the c directions that hold most of states [n, h], each state counted at length 1.

        The states are not centred: a direction common to all states is worth storing for every token, because cosines
        need it. Returns: the share of the squared length that is kept.
        """
        unit = F.normalize(states.double(), dim=-1)
        h = unit.shape[1]
        basis = F.pad(principal(unit, min(self.width, h)), (0, max(0, self.width - h)))  # zeros beyond h directions
        self.down.copy_(basis.T)
        self.up.copy_(basis)
        return float((unit @ basis).square().sum() / unit.square().sum())


PART = Linear
