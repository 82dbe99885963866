"""A linear map to c numbers per token, normalised to length 1, without a way back."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from lateint.compressors._directions import orthonormal
from lateint.compressors._validation import check_width
from lateint.compressors.base import Compressor


class Projection(Compressor):
    """z = A x / |A x|; query and document both pass through it and are compared in c dimensions.

    A fresh A is a random orthonormal map. Source: arXiv:2004.12832, Sec. 3.2. Cost: h·c multiply-adds per token.
    """

    def __init__(self, states_width: int, *, width: int = 128) -> None:
        super().__init__()
        self.width = check_width("projection", width)
        self.down = nn.Parameter(orthonormal(width, states_width))

    def compress(self, states: Tensor, side: Tensor | None = None) -> Tensor:
        """Map states [..., h] to unit vectors [..., c]."""
        return F.normalize(states @ self.down.T, dim=-1)

    def linear_down(self) -> Tensor | None:
        """Return A [c, h]."""
        return self.down


PART = Projection
