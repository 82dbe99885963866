"""Residual quantisation: a token in a few bytes, each naming a codebook vector; the vectors are summed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lateint.backbone.precision import in_float32
from lateint.compressors._codebooks import ENTRIES, choose, fit_codebooks, sample, summed
from lateint.compressors._unit_directions import UnitDirections
from lateint.compressors._validation import check_width
from lateint.compressors.base import FitData, LookupTables
from lateint.errors import InputError

_SEED = 20_240_914


class Residual(UnitDirections):
    """z = A x / |A x|, stored as bytes i_1 .. i_k with z ≈ C_1[i_1] + .. + C_k[i_k]; x' = W z; h -> c -> h.

    `width` is c, `levels` is k. Each byte names the codebook entry nearest to the residual of the entries before it. Each
    direction decodes to about the mean of all directions with the same bytes.
    Fresh: A and W as in `linear`, codebooks of zeros. `fit_directions` fits the maps, `fit_codebooks` the codebooks.
    In training, gradients reach the chosen codebook entries, and pass straight through to the states.
    Source: residual vector quantisation (Chen et al. 2010); for late interaction, after CQ (ACL 2022). Cost: h·c
    multiply-adds per token to compress or to expand, and k·256·c more to choose the bytes.
    """

    def __init__(self, states_width: int, *, width: int = 128, levels: int = 10) -> None:
        super().__init__(states_width, width=check_width("residual", width))
        if isinstance(levels, bool) or not isinstance(levels, int) or not 1 <= levels <= 255:
            raise InputError(f"compressor 'residual': levels={levels!r}; expected 1 to 255 bytes a token")
        self.codebooks = nn.Parameter(torch.zeros(levels, ENTRIES, width))

    @property
    def code_bytes(self) -> int:
        """Bytes stored per token."""
        return len(self.codebooks)

    @torch.no_grad()
    @in_float32
    def quantize(self, directions: Tensor, token_ids: Tensor | None = None, vectors: Tensor | None = None) -> Tensor:
        """Map directions [..., c] to uint8 [..., k]: level by level the nearest entry, in float32 for weights of any dtype."""
        codes = choose(self.codebooks.float(), directions.reshape(-1, self.width).float())
        return codes.view(*directions.shape[:-1], self.code_bytes)

    def decode(self, codes: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Map uint8 [..., k] to the sums of the entries they name, [..., c]; differentiable in the codebooks."""
        return summed(self.codebooks, codes)

    @in_float32
    def lookup_tables(self, queries: Tensor) -> LookupTables:
        """Return the contribution of each byte to inner products with queries [q, c]."""
        return LookupTables(self.codebooks.detach().float() @ queries.float().T)

    def fit(self, data: FitData, trained: frozenset[str] = frozenset()) -> dict[str, float]:
        """Fit the maps and the codebooks, as far as they were not trained."""
        fitted = super().fit(data, trained)
        return fitted if "codebooks" in trained else fitted | {"cosine of codes": self.fit_codebooks(data.documents.states)}

    @torch.no_grad()
    def fit_codebooks(self, states: Tensor) -> float:
        """Fit codebooks to states [n, h] by k-means, each to the residuals of the codebooks before it.

        Returns: the mean cosine of directions with what they decode to. Cost: 8·k·256·c multiply-adds per state, for at most
        30,000 states.
        """
        random = torch.Generator().manual_seed(_SEED)
        directions = self.compress(states[sample(len(states), random)]).float().cpu()
        books, residual = fit_codebooks(directions, self.code_bytes, random)
        self.codebooks.copy_(books)
        return float(F.cosine_similarity(directions - residual, directions, dim=-1).mean())


PART = Residual
