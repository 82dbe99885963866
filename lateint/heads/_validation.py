"""A setting that is one of a few words: the type that lists them is what it is checked against."""

from __future__ import annotations

from typing import Any, Literal, get_args

from torch import Tensor

from lateint.errors import InputError


def check_choice(name: str, choice: str, words: Any) -> None:
    """Refuse a setting that is none of the words of its `Literal` type. Raises: InputError."""
    if choice not in get_args(words):
        raise InputError(f"{name}={choice!r}; expected one of {', '.join(get_args(words))}")


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


Order = Literal["cross_then_self", "self_then_cross"]

Readout = Literal["cls", "mean", "matches"]

Residual = Literal["none", "cosine", "evidence"]

Cache = Literal["states", "keys_values"]

Attend = Literal["materialised", "absorbed"]

Slots = Literal["tokens", "cls", "mean"]


def check_choices(own: bool, **choices: str) -> None:
    """Raises: InputError for a setting that is none of its values, and for two that exclude each other."""
    known = {"order": Order, "readout": Readout, "residual": Residual, "cache": Cache, "attend": Attend, "slots": Slots}
    for name, choice in choices.items():
        check_choice(name, choice, known[name])
    if not isinstance(own, bool):
        raise InputError(f"own={own!r}; expected true or false")
    for name, choice in (("residual", "evidence"), ("readout", "matches")):
        if choices["cache"] == "keys_values" and choices[name] == choice:
            raise InputError(f"{name}={choice!r} compares states, which cache='keys_values' does not store; use cache='states'")
    slots, readout = choices["slots"], choices["readout"]
    if readout == "matches" and slots != "tokens":
        raise InputError(f"readout='matches' compares a row of every word, and slots={slots!r} has one row; use slots='tokens'")
    if readout == "cls" and slots == "mean":
        raise InputError("readout='cls' reads a row that slots='mean' does not have; use readout='mean'")


def check_absorbs(cache: str, pre_norm: bool, linear: bool) -> None:
    """Raises: InputError where keys and values are no linear maps of what is stored, or are stored themselves."""
    reasons = {
        "stored keys and values are projected already (cache='states' fits)": cache == "keys_values",
        "a pre-norm family norms states before it projects them": pre_norm,
        "more than a linear map expands these codes (compressor 'linear' fits, and none)": not linear,
    }
    for reason, holds in reasons.items():
        if holds:
            raise InputError(f"attend='absorbed' reads linear maps of what is stored, but {reason}; use attend='materialised'")
