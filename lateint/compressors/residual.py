"""Residual quantisation: a token in a few bytes, each naming a codebook vector; the vectors are summed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lateint.backbone.precision import in_float32
from lateint.compressors._unit_directions import UnitDirections
from lateint.compressors._validation import check_width
from lateint.compressors.base import FitData, LookupTables
from lateint.errors import InputError

_ENTRIES = 256  # vectors of a codebook: a byte names one of them
_ROUNDS = 8  # iterations of Lloyd's algorithm
_SAMPLE = 30_000  # tokens that codebooks are fitted on
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
        self.codebooks = nn.Parameter(torch.zeros(levels, _ENTRIES, width))

    @property
    def code_bytes(self) -> int:
        """Bytes stored per token."""
        return len(self.codebooks)

    @torch.no_grad()
    @in_float32
    def quantize(self, directions: Tensor, token_ids: Tensor | None = None) -> Tensor:
        """Map directions [..., c] to uint8 [..., k]: level by level the nearest entry, in float32 for weights of any dtype."""
        residual = directions.reshape(-1, self.width).float()
        codes = torch.empty(len(residual), self.code_bytes, dtype=torch.uint8, device=residual.device)
        for level, book in enumerate(self.codebooks.float()):
            nearest = (residual @ book.T - book.square().sum(dim=1) / 2).argmax(dim=1)
            codes[:, level] = nearest
            residual = residual - book[nearest]
        return codes.view(*directions.shape[:-1], self.code_bytes)

    def decode(self, codes: Tensor) -> Tensor:
        """Map uint8 [..., k] to the sums of the entries they name, [..., c]; differentiable in the codebooks."""
        levels = torch.arange(self.code_bytes, device=codes.device)
        summed: Tensor = self.codebooks[levels, codes.long()].sum(dim=-2)
        return summed

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
        chosen = torch.randperm(len(states), generator=random)[:_SAMPLE]
        directions = self.compress(states[chosen]).float().cpu()
        residual = directions.clone()
        for level in range(self.code_bytes):
            book, nearest = _means(residual, random)
            self.codebooks[level].copy_(book)
            residual = residual - book[nearest]
        return float(F.cosine_similarity(directions - residual, directions, dim=-1).mean())


def _means(points: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cluster points [n, c] by k-means: 256 means, and the nearest mean of each point. A mean without points does not move."""
    start = torch.randint(len(points), (_ENTRIES,), generator=random)
    means = points[start].clone()
    for _ in range(_ROUNDS):
        nearest = (points @ means.T - means.square().sum(dim=1) / 2).argmax(dim=1)
        counts = torch.bincount(nearest, minlength=_ENTRIES)[:, None]
        sums = torch.zeros_like(means).index_add_(0, nearest, points)
        means = torch.where(counts > 0, sums / counts.clamp_min(1), means)
    return means, (points @ means.T - means.square().sum(dim=1) / 2).argmax(dim=1)


PART = Residual
