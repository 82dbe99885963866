"""What a head may do with stored codes depends on the compressor that made them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lateint.errors import InputError


def check_expands(compressor: Any, head: str) -> None:
    """Refuse a compressor that has no way back, for a head that works on states. Raises: InputError."""
    if compressor is not None and not hasattr(compressor, "expand"):
        raise InputError(
            f"head {head!r} expands what is stored to states, and compressor {_name(compressor)!r} has no way back; "
            "use 'bottleneck', 'linear' or 'aesi', or none"
        )


def check_compares(compressor: Any, head: str) -> None:
    """Refuse a compressor that is no linear map, for a head that compares codes themselves. Raises: InputError."""
    if compressor is not None and not isinstance(getattr(compressor, "down", None), Tensor):
        raise InputError(
            f"head {head!r} compares codes as they are, and those of compressor {_name(compressor)!r} stand for states "
            "only once they are expanded; use 'projection' or 'linear', or none"
        )


def _name(compressor: Any) -> str:
    return type(compressor).__module__.rpartition(".")[2]
