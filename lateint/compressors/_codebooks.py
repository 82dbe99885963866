"""Residual vector quantisation: a vector as the sum of one entry of each of k codebooks of 256 entries (Chen et al. 2010)."""

from __future__ import annotations

import torch
from torch import Tensor

ENTRIES = 256  # vectors of a codebook: a byte names one of them
_ROUNDS = 8  # iterations of Lloyd's algorithm
_SAMPLE = 30_000  # vectors that codebooks are fitted on


def choose(codebooks: Tensor, points: Tensor) -> Tensor:
    """Map points [n, c] to uint8 [n, k]: level by level the entry nearest to what the levels before left over."""
    codes = torch.empty(len(points), len(codebooks), dtype=torch.uint8, device=points.device)
    for level, book in enumerate(codebooks):
        nearest = _nearest(book, points)
        codes[:, level] = nearest
        points = points - book[nearest]
    return codes


def summed(codebooks: Tensor, codes: Tensor) -> Tensor:
    """Map uint8 [..., k] to the sums of the entries they name, [..., c]; differentiable in the codebooks [k, 256, c]."""
    levels = torch.arange(len(codebooks), device=codes.device)
    total: Tensor = codebooks[levels, codes.long()].sum(dim=-2)
    return total


def sample(n: int, random: torch.Generator) -> Tensor:
    """Choose the vectors, of n, that codebooks are fitted on: at most 30,000 indices."""
    return torch.randperm(n, generator=random)[:_SAMPLE]


def fit_codebooks(points: Tensor, levels: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Fit codebooks to points [n, c] by k-means, each to the residuals of those before it.

    Returns: codebooks [levels, 256, c], and what they leave over of each point [n, c]. Cost: 8·levels·256·c multiply-adds a
    point.
    """
    books = []
    for _ in range(levels):
        book = _means(points, random)
        books.append(book)
        points = points - book[_nearest(book, points)]
    return torch.stack(books), points


def _means(points: Tensor, random: torch.Generator) -> Tensor:
    """Cluster points [n, c] by k-means: 256 means. A mean without points does not move."""
    start = torch.randint(len(points), (ENTRIES,), generator=random)
    means = points[start].clone()
    for _ in range(_ROUNDS):
        nearest = _nearest(means, points)
        counts = torch.bincount(nearest, minlength=ENTRIES)[:, None]
        sums = torch.zeros_like(means).index_add_(0, nearest, points)
        means = torch.where(counts > 0, sums / counts.clamp_min(1), means)
    return means


def _nearest(book: Tensor, points: Tensor) -> Tensor:
    return (points @ book.T - book.square().sum(dim=1) / 2).argmax(dim=1)
