"""SDR's compressor: an autoencoder that is told the token, and so need not store it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lateint.compressors._validation import check_width, given


class Aesi(nn.Module):
    """Autoencoder with side information: z = B GELU(A [v; u]), v' = D GELU(C [z; u]), biases left out here.

    v is a token's state; u, the side information, is what the document tower's embedding layer gives for the same token
    (word, position and segment, normed). Both halves have an inner width of 4h. u is computed again from the stored token
    id, so an entry holds c numbers and an id a token.
    Source: SDR, arXiv:2110.02065, Sec. 3, and the authors' code. `width`: theirs run from 1 to 64; 16 by default is ours.
    Cost: 12·h² + 4·h·c multiply-adds a token to compress, 8·h² + 4·h·c to expand.
    """

    needs_side = True

    def __init__(self, states_width: int, *, width: int = 16) -> None:
        super().__init__()
        self.width = check_width("aesi", width)
        inner = 4 * states_width
        self.encoder = nn.Sequential(nn.Linear(2 * states_width, inner), nn.GELU(), nn.Linear(inner, width))
        self.decoder = nn.Sequential(nn.Linear(width + states_width, inner), nn.GELU(), nn.Linear(inner, states_width))

    def compress(self, states: Tensor, side: Tensor | None = None) -> Tensor:
        """States [..., h] and side information [..., h] -> codes [..., c]. Raises: InputError without side information."""
        codes: Tensor = self.encoder(torch.cat([states, given("aesi", side)], dim=-1))
        return codes

    def expand(self, codes: Tensor, side: Tensor | None = None) -> Tensor:
        """Codes [..., c] and side information [..., h] -> states [..., h]. Raises: InputError without side information."""
        states: Tensor = self.decoder(torch.cat([codes, given("aesi", side)], dim=-1))
        return states


PART = Aesi
