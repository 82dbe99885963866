"""PreTTR's compressor: a narrow layer with a nonlinearity, and a norm on the way back."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from lateint.compressors._validation import check_width
from lateint.compressors.base import Compressor


class Bottleneck(Compressor):
    """z = GELU(A x + a), x' = LayerNorm(W z + b); h -> c -> h. Source: arXiv:2004.14255, Sec. 3.2.

    `width`: the default is ours for h = 384; the paper has 128, 256 and 384 of 768. `both_sides`: the query's states pass
    through the compressor and back too, as every position does in the graph that the authors released; False leaves them
    alone. The rounding to float16 between the halves is a codec of the store, and concerns documents only.
    Cost: h·c multiply-adds per token to compress, and again to expand.
    """

    expands = True

    def __init__(self, states_width: int, *, width: int = 128, both_sides: bool = True) -> None:
        super().__init__()
        self.width, self.both_sides = check_width("bottleneck", width), both_sides
        self.down = nn.Linear(states_width, width)
        self.up = nn.Linear(width, states_width)
        self.norm = nn.LayerNorm(states_width)

    def compress(self, states: Tensor, side: Tensor | None = None) -> Tensor:
        """Map states [..., h] to codes [..., c]."""
        return F.gelu(self.down(states))

    def expand(self, codes: Tensor, side: Tensor | None = None) -> Tensor:
        """Map codes [..., c] to states [..., h]."""
        states: Tensor = self.norm(self.up(codes))
        return states


PART = Bottleneck
