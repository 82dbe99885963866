"""Word codes: the token id gives a vector from a table, and a few sign bits say how the context changes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lateint.backbone.precision import in_float32
from lateint.backbone.seeding import seeded
from lateint.compressors._directions import orthonormal, principal
from lateint.compressors._word_table import ID_BYTES, WordTable
from lateint.compressors.base import LookupTables
from lateint.errors import InputError

_SEED = 20_261_127


class Words(WordTable):
    """z = A x / |A x|, stored as the token id t and the signs s of P (z - S_t); z' = S_t + Qᵀ s; h -> c -> h.

    `width` is c, `bits` the number B of signs, `vocabulary` the rows of S. A store holds 2 + B/8 bytes per token: the id, low
    byte first, then the signs, the first in the lowest bit.
    Fresh: A, W and S as in every table of words, P = Q random and orthonormal. `fit_directions` fits the maps, `fit_words`
    the rest: P are principal directions of the residual, rotated at random so that all signs carry equal information, Q is
    their least-squares inverse. In training, gradients reach S and Q, and pass straight through to the states; P stays.
    Source: lateint, after SDR's side information (arXiv:2110.02065, Sec. 3). Cost: h·c + B·c multiply-adds per token.
    """

    name = "words"

    def __init__(self, states_width: int, *, width: int = 128, bits: int = 32, vocabulary: int = 30_522) -> None:
        super().__init__(states_width, width=width, vocabulary=vocabulary)
        if isinstance(bits, bool) or not isinstance(bits, int) or bits % 8 or bits < 8:
            raise InputError(f"compressor 'words': bits={bits!r}; expected 8, 16, 24, ...")
        self.planes = nn.Parameter(orthonormal(bits, width))
        self.steps = nn.Parameter(self.planes.detach() / width**0.5)

    @property
    def code_bytes(self) -> int:
        """Bytes stored per token."""
        return ID_BYTES + len(self.planes) // 8

    def code(self, residual: Tensor, expected: Tensor) -> Tensor:
        """Return the signs of P (z - S_t), eight a byte."""
        positive = (residual @ self.planes.float().T >= 0).view(*residual.shape[:-1], -1, 8)
        return (positive << torch.arange(8, device=residual.device)).sum(dim=-1)

    def decode(self, codes: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Map uint8 [..., 2 + B/8] to S_t + Qᵀ s, [..., c]; differentiable in S and Q.

        Raises: ModelError for an id beyond the vocabulary.
        """
        return self.expected_of(codes) + _signs(codes[..., ID_BYTES:].long()).to(self.steps) @ self.steps

    @in_float32
    def lookup_tables(self, queries: Tensor) -> LookupTables:
        """Return the contributions of token ids and bytes to inner products with queries [q, c].

        Cost: vocabulary·q·c multiply-adds.
        """
        ours = queries.float()
        turned = (self.steps.detach().float() @ ours.T).view(-1, 8, len(ours))  # [B/8, 8, q]
        every = _signs(torch.arange(256, device=ours.device)[:, None]).float()  # [256, 8]
        return LookupTables(every @ turned, self.words.detach().float() @ ours.T)

    def fit_context(self, directions: Tensor, token_ids: Tensor, residual: Tensor) -> None:
        """Fit P and Q."""
        kept = min(len(self.planes), self.width)
        with seeded(_SEED):
            rotation = orthonormal(len(self.planes), kept).double()
        self.planes.copy_(rotation @ principal(residual, kept).T)
        signs = _signs(self.quantize(directions, token_ids)[:, ID_BYTES:].long()).double()
        self.steps.copy_(torch.linalg.lstsq(signs, residual).solution)


def _signs(packed: Tensor) -> Tensor:
    """Unpack bytes [..., k] int64 into signs [..., 8·k], 1 or -1, the lowest bit first."""
    bits = packed[..., None] >> torch.arange(8, device=packed.device) & 1
    signs: Tensor = bits.flatten(-2) * 2 - 1
    return signs


PART = Words
