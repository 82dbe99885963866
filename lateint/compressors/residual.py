"""Residual codes: a token in a handful of bytes, each naming a vector that is added to the sum of those before."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lateint.backbone.precision import in_float32
from lateint.compressors._validation import check_width
from lateint.compressors.base import Quantizer, Tables
from lateint.errors import InputError

ENTRIES = 256  # of a codebook: a byte names one
ROUNDS = 8  # of Lloyd's iteration
SAMPLE = 30_000  # tokens that codebooks are fitted on
SEED = 20_240_914


class Residual(Quantizer):
    """z = A x / |A x|, stored as bytes i_1 .. i_k of z ≈ C_1[i_1] + .. + C_k[i_k]; x' = W z; h -> c -> h.

    `width` c, `levels` k. Each byte names the entry nearest to what the ones before left over. What comes back of a direction
    is the mean of those that share its codes, a little shorter than 1 where they differ: an inner product with it is the best
    guess of the cosine. So heads compare by inner products, and read bytes by look-ups, as `tables` has them.
    Fresh: A and W as in `linear`, codebooks of zeros. `fit` is for the maps, `fit_codebooks` for what they give.
    Training passes gradients to codebooks by what was chosen, and straight through to the states.
    Source: residual vector quantisation (Chen et al. 2010); for late interaction, after CQ (ACL 2022). Cost: h·c
    multiply-adds a token and direction, k·256·c more to choose codes.
    """

    def __init__(self, states_width: int, *, width: int = 128, levels: int = 10) -> None:
        super().__init__(states_width, width=check_width("residual", width))
        if isinstance(levels, bool) or not isinstance(levels, int) or not 1 <= levels <= 255:
            raise InputError(f"compressor 'residual': levels={levels!r}; expected 1 to 255 bytes a token")
        self.codebooks = nn.Parameter(torch.zeros(levels, ENTRIES, width))

    @property
    def code_bytes(self) -> int:
        """Bytes of a token in a store."""
        return len(self.codebooks)

    @torch.no_grad()
    @in_float32
    def codes(self, directions: Tensor, token_ids: Tensor | None = None) -> Tensor:
        """Directions [..., c] -> uint8 [..., k], byte after byte the nearest entry. Float32 whatever the weights' dtype."""
        left = directions.reshape(-1, self.width).float()
        found = torch.empty(len(left), self.code_bytes, dtype=torch.uint8, device=left.device)
        for level, book in enumerate(self.codebooks.float()):
            nearest = (left @ book.T - book.square().sum(dim=1) / 2).argmax(dim=1)
            found[:, level] = nearest
            left = left - book[nearest]
        return found.view(*directions.shape[:-1], self.code_bytes)

    def decode(self, codes: Tensor) -> Tensor:
        """uint8 [..., k] -> the sums of what they name, [..., c]; differentiable in the codebooks."""
        levels = torch.arange(self.code_bytes, device=codes.device)
        summed: Tensor = self.codebooks[levels, codes.long()].sum(dim=-2)
        return summed

    @in_float32
    def tables(self, queries: Tensor) -> Tables:
        """What each byte adds to the inner product with queries [q, c]."""
        return Tables(self.codebooks.detach().float() @ queries.float().T)

    @torch.no_grad()
    def fit_codebooks(self, states: Tensor) -> float:
        """Codebooks by k-means, each of what those before leave over of states [n, h].

        Returns: the mean cosine of directions with what comes back. Cost: 8·k·256·c multiply-adds a state, of at most 30,000.
        """
        random = torch.Generator().manual_seed(SEED)
        some = torch.randperm(len(states), generator=random)[:SAMPLE]
        directions = self.compress(states[some]).float().cpu()
        left = directions.clone()
        for level in range(self.code_bytes):
            book, nearest = _means(left, random)
            self.codebooks[level].copy_(book)
            left = left - book[nearest]
        return float(F.cosine_similarity(directions - left, directions, dim=-1).mean())


def _means(points: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """k-means of points [n, c]: 256 means, and the nearest of each point. A mean without a point stays where it is."""
    start = torch.randint(len(points), (ENTRIES,), generator=random)
    means = points[start].clone()
    for _ in range(ROUNDS):
        nearest = (points @ means.T - means.square().sum(dim=1) / 2).argmax(dim=1)
        counts = torch.bincount(nearest, minlength=ENTRIES)[:, None]
        sums = torch.zeros_like(means).index_add_(0, nearest, points)
        means = torch.where(counts > 0, sums / counts.clamp_min(1), means)
    return means, (points @ means.T - means.square().sum(dim=1) / 2).argmax(dim=1)


PART = Residual
