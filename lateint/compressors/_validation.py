"""What the settings of every compressor obey."""

from __future__ import annotations

from torch import Tensor

from lateint.errors import InputError


def check_width(compressor: str, width: int) -> int:
    """The width, if it is one. Raises: InputError."""
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise InputError(f"compressor {compressor!r}: width={width!r}; expected a whole number from 1 on")
    return width


def given(compressor: str, side: Tensor | None) -> Tensor:
    """The side information, if there is any. Raises: InputError."""
    if side is None:
        raise InputError(f"compressor {compressor!r} needs side information: the static embeddings of the same tokens")
    return side
