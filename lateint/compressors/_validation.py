"""Checks that compressors share."""

from __future__ import annotations

from torch import Tensor

from lateint.errors import InputError

_WIDEST = 1 << 16  # no encoder has wider states; weights of a larger width would take memory before anything is compared


def check_width(compressor: str, width: int) -> int:
    """Return the width if it is an integer from 1 to 65,536. Raises: InputError."""
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise InputError(f"compressor {compressor!r}: width={width!r}; expected a whole number from 1 on")
    if width > _WIDEST:
        raise InputError(f"compressor {compressor!r}: width={width}; expected at most {_WIDEST}")
    return width


def require_side(compressor: str, side: Tensor | None) -> Tensor:
    """Return the side information. Raises: InputError if there is none."""
    if side is None:
        raise InputError(f"compressor {compressor!r} needs side information: the static embeddings of the same tokens")
    return side
