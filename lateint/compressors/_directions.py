"""Orthonormal directions: random ones with the same bits in every process, and principal ones of given vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from lateint.errors import InputError


def orthonormal(rows: int, columns: int) -> Tensor:
    """Draw a random matrix [rows, columns] float32 whose shorter side is orthonormal, from torch's generator.

    It is computed in float64 and rounded, because the last bits of a QR decomposition depend on the number of threads.
    """
    flat = torch.empty(rows, columns).normal_().double()
    q, r = torch.linalg.qr(flat.T if rows < columns else flat)
    q = q * r.diagonal().sign()
    matrix: Tensor = (q.T if rows < columns else q).float().contiguous()
    return matrix


def principal(vectors: Tensor, width: int) -> Tensor:
    """Find the `width` orthonormal directions [h, width] float64 that hold most of the squared length of vectors [n, h].

    The vectors are not centred: `vectors @ principal(vectors, h)` keeps every dot product, and a direction that all vectors
    share counts like any other, because cosines need it.
    Raises: InputError for a width outside 1..h. Cost: n·h² + h³.
    """
    h = vectors.shape[-1]
    if not 1 <= width <= h:
        raise InputError(f"{width} principal directions of vectors of width {h}; expected 1..{h}")
    exact = vectors.double()
    _, directions = torch.linalg.eigh(exact.T @ exact / len(exact))
    largest: Tensor = directions[:, -width:].flip(1).contiguous()
    return largest
