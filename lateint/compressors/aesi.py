"""SDR's compressor: an autoencoder that is given the token's embedding, and so need not store it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lateint.compressors._validation import check_width, require_side
from lateint.compressors.base import Compressor


class Aesi(Compressor):
    """Autoencoder with side information: z = B GELU(A [v; u]), v' = D GELU(C [z; u]); biases are left out here.

    v is a token's state. u, the side information, is the output of the document tower's embedding layer for the same token
    (word, position and segment, normalised). Both halves have an inner width of 4h. u is recomputed from the stored token
    id, so an entry holds c numbers and one id per token.
    Source: SDR, arXiv:2110.02065, Sec. 3, and the authors' code. `width`: theirs run from 1 to 64; the default of 16 is ours.
    Cost: 12·h² + 4·h·c multiply-adds per token to compress, 8·h² + 4·h·c to expand.
    """

    needs_side = True
    expands = True

    def __init__(self, states_width: int, *, width: int = 16) -> None:
        super().__init__()
        self.width = check_width("aesi", width)
        inner = 4 * states_width
        self.encoder = nn.Sequential(nn.Linear(2 * states_width, inner), nn.GELU(), nn.Linear(inner, width))
        self.decoder = nn.Sequential(nn.Linear(width + states_width, inner), nn.GELU(), nn.Linear(inner, states_width))

    def compress(self, states: Tensor, side: Tensor | None = None) -> Tensor:
        """Map states and side information [..., h] to codes [..., c]. Raises: InputError without side information."""
        codes: Tensor = self.encoder(torch.cat([states, require_side("aesi", side)], dim=-1))
        return codes

    def expand(self, codes: Tensor, side: Tensor | None = None) -> Tensor:
        """Map codes [..., c] and side information [..., h] to states [..., h]. Raises: InputError without side information."""
        states: Tensor = self.decoder(torch.cat([codes, require_side("aesi", side)], dim=-1))
        return states


PART = Aesi
