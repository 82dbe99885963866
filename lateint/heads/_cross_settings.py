"""The words that settings of `cross_blocks` may be, and which of them exclude each other."""

from __future__ import annotations

from typing import Literal

from lateint.errors import InputError
from lateint.heads._choices import check_choice

Order = Literal["cross_then_self", "self_then_cross"]
Readout = Literal["cls", "mean", "matches"]
Residual = Literal["none", "cosine", "evidence"]
Cache = Literal["states", "keys_values"]


def check_choices(**choices: str) -> None:
    """Raises: InputError for a setting that is none of its values, and for two that exclude each other."""
    known = {"order": Order, "readout": Readout, "residual": Residual, "cache": Cache}
    for name, choice in choices.items():
        check_choice(name, choice, known[name])
    for name, choice in (("residual", "evidence"), ("readout", "matches")):
        if choices["cache"] == "keys_values" and choices[name] == choice:
            raise InputError(f"{name}={choice!r} compares states, which cache='keys_values' does not store; use cache='states'")
