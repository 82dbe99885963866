"""Word codes by codebooks: the token id gives a vector from a table, and a few bytes say what the context adds to it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lateint.backbone.precision import in_float32
from lateint.compressors._codebooks import ENTRIES, choose, fit_codebooks, sample, summed
from lateint.compressors._word_table import ID_BYTES, WordTable
from lateint.compressors.base import LookupTables
from lateint.errors import InputError

_SEED = 20_261_130
_LEAST, _RANGE = 0.7, 8.0  # factors of lengths: 0.7 to 5.6, with equal ratios of 1.008 between neighbours


class WordResidual(WordTable):
    """z = A x / |A x| ≈ z' = f (S_t + C_1[i_1] + .. + C_k[i_k]), stored as id t, bytes i and f; h -> c -> h.

    `width` is c, `levels` is k, `vocabulary` the rows of S. Each byte names the codebook entry nearest to what S_t and the
    entries before it leave over. A sum is shorter than 1, the more so the less exactly its bytes determine z, and a maximum
    over tokens would prefer those that are known well; so the last byte holds a factor f that gives z' length 1 again. A
    store holds 3 + k bytes per token: the id, low byte first, i_1 .. i_k, the factor.
    Fresh: A, W and S as in every table of words, codebooks of zeros. `fit_directions` fits the maps, `fit_words` the rest.
    In training, gradients reach S and the entries that were chosen, and pass straight through to the states.
    Source: lateint; residual codes of a token beside its centroid are ColBERTv2's (arXiv:2112.01488, Sec. 3.3), whose
    centroids are clusters. Cost: h·c + k·256·c multiply-adds per token.
    """

    name = "word_residual"

    def __init__(self, states_width: int, *, width: int = 128, levels: int = 4, vocabulary: int = 30_522) -> None:
        super().__init__(states_width, width=width, vocabulary=vocabulary)
        if isinstance(levels, bool) or not isinstance(levels, int) or not 1 <= levels <= 252:
            raise InputError(f"compressor 'word_residual': levels={levels!r}; expected 1 to 252 bytes a token")
        self.codebooks = nn.Parameter(torch.zeros(levels, ENTRIES, width))

    @property
    def code_bytes(self) -> int:
        """Bytes stored per token."""
        return ID_BYTES + len(self.codebooks) + 1

    def code(self, residual: Tensor, expected: Tensor) -> Tensor:
        """Return the entries nearest to z - S_t, level by level, and the byte of the factor."""
        books = self.codebooks.float()
        entries = choose(books, residual.reshape(-1, self.width)).view(*residual.shape[:-1], len(books))
        lengths = (expected + summed(books, entries)).norm(dim=-1, keepdim=True)
        steps = torch.log(1 / (_LEAST * lengths.clamp_min(1e-6))) / math.log(_RANGE) * 255
        return torch.cat([entries.long(), steps.round().clamp(0, 255).long()], dim=-1)

    def decode(self, codes: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Map uint8 [..., 3 + k] to f (S_t + C_1[i_1] + .. + C_k[i_k]), [..., c]; differentiable in S and C.

        Raises: ModelError for an id beyond the vocabulary.
        """
        found = self.expected_of(codes, vectors) + summed(self.codebooks, codes[..., ID_BYTES:-1])
        decoded: Tensor = found * _factors(codes.device).to(found)[codes[..., -1].long()][..., None]
        return decoded.to(self.words.dtype)

    @in_float32
    def lookup_tables(self, queries: Tensor) -> LookupTables:
        """Return the contributions of token ids and bytes to inner products with queries [q, c], and the factors.

        Cost: vocabulary·q·c multiply-adds.
        """
        ours = queries.float().T
        by_byte, by_token = self.codebooks.detach().float() @ ours, self.words.detach().float() @ ours
        return LookupTables(by_byte, by_token, _factors(ours.device))

    def fit_context(self, directions: Tensor, token_ids: Tensor, residual: Tensor) -> None:
        """Fit the codebooks by k-means, each to what S and the codebooks before it leave over."""
        random = torch.Generator().manual_seed(_SEED)
        chosen = residual[sample(len(residual), random)].float().cpu()
        self.codebooks.copy_(fit_codebooks(chosen, len(self.codebooks), random)[0])


def _factors(device: torch.device) -> Tensor:
    """The factor that each value of the last byte stands for, float32 [256]."""
    return (_LEAST * _RANGE ** (torch.arange(256, device=device, dtype=torch.float64) / 255)).float()


PART = WordResidual
