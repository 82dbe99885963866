"""A random orthonormal map that is the same in every process."""

from __future__ import annotations

import torch
from torch import Tensor


def orthonormal(rows: int, columns: int) -> Tensor:
    """A random matrix [rows, columns] float32 whose shorter side is orthonormal, from torch's generator.

    Computed in float64 and rounded, because the last bits of a QR decomposition depend on the number of threads.
    """
    flat = torch.empty(rows, columns).normal_().double()
    q, r = torch.linalg.qr(flat.T if rows < columns else flat)
    q = q * r.diagonal().sign()
    found: Tensor = (q.T if rows < columns else q).float().contiguous()
    return found
