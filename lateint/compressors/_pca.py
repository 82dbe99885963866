"""Principal directions of vectors, not centred."""

from __future__ import annotations

import torch
from torch import Tensor

from lateint.errors import InputError


def principal(vectors: Tensor, width: int) -> Tensor:
    """The `width` orthonormal directions [h, width] float64 that hold most of the squared length of vectors [n, h].

    Nothing is subtracted: `vectors @ principal(vectors, h)` keeps every dot product, and a direction that all vectors
    share counts like any other, because cosines need it.
    Raises: InputError for a width outside 1..h. Cost: n·h² + h³.
    """
    h = vectors.shape[-1]
    if not 1 <= width <= h:
        raise InputError(f"{width} principal directions of vectors of width {h}; expected 1..{h}")
    exact = vectors.double()
    _, directions = torch.linalg.eigh(exact.T @ exact / len(exact))
    found: Tensor = directions[:, -width:].flip(1).contiguous()
    return found
