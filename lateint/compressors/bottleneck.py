"""PreTTR's compressor: a narrow layer with a non-linearity, and a norm on the way back."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Bottleneck(nn.Module):
    """z = GELU(A x + a), x' = LayerNorm(W z + b); h -> c -> h. Source: arXiv:2004.14255, Sec. 3.2.

    Cost: h·c multiply-adds a token and direction.
    """

    def __init__(self, states_width: int, *, width: int = 128) -> None:
        super().__init__()
        self.width = width
        self.down = nn.Linear(states_width, width)
        self.up = nn.Linear(width, states_width)
        self.norm = nn.LayerNorm(states_width)

    def compress(self, states: Tensor) -> Tensor:
        """States [..., h] -> codes [..., c]."""
        return F.gelu(self.down(states))

    def expand(self, codes: Tensor) -> Tensor:
        """Codes [..., c] -> states [..., h]."""
        out: Tensor = self.norm(self.up(codes))
        return out


PART = Bottleneck
