"""What the settings of every compressor obey."""

from __future__ import annotations

from lateint.errors import InputError


def check_width(compressor: str, width: int) -> int:
    """The width, if it is one. Raises: InputError."""
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise InputError(f"compressor {compressor!r}: width={width!r}; expected a whole number from 1 on")
    return width
