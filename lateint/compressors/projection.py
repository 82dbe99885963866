"""A linear map to c numbers a token, normalised to length 1; there is no way back, and none is needed."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from lateint.compressors._directions import orthonormal
from lateint.compressors._validation import check_width


class Projection(nn.Module):
    """z = A x / |A x|; both sides pass through it and meet in c dimensions. Source: arXiv:2004.12832, Sec. 3.2.

    Fresh: a random orthonormal map. Cost: h·c multiply-adds a token.
    """

    needs_side = False

    def __init__(self, states_width: int, *, width: int = 128) -> None:
        super().__init__()
        self.width = check_width("projection", width)
        self.down = nn.Parameter(orthonormal(width, states_width))

    def compress(self, states: Tensor, side: Tensor | None = None) -> Tensor:
        """States [..., h] -> unit vectors [..., c]."""
        return F.normalize(states @ self.down.T, dim=-1)


PART = Projection
