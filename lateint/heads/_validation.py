"""Checks of settings, compressors and inputs that heads share."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from lateint.compressors.base import Compressor, Quantizer
from lateint.errors import InputError
from lateint.heads.inputs import Candidates, Query

Order = Literal["cross_then_self", "self_then_cross"]
Readout = Literal["cls", "mean", "matches"]
Residual = Literal["none", "cosine", "evidence"]
Cache = Literal["states", "keys_values"]
Attend = Literal["materialised", "absorbed"]
Slots = Literal["tokens", "cls", "mean"]
Rows = Literal["text", "all"]
_CHOICES = {"order": Order, "readout": Readout, "residual": Residual, "cache": Cache, "attend": Attend, "slots": Slots}


def check_choice(name: str, choice: str, choices: object) -> None:
    """Refuse a setting that is not one of the values of a `Literal` type. Raises: InputError."""
    if choice not in get_args(choices):
        raise InputError(f"{name}={choice!r}; expected one of {', '.join(get_args(choices))}")


def check_expands(compressor: Compressor | None, head: str) -> None:
    """Refuse a compressor that cannot map codes back to states, for a head that works on states. Raises: InputError."""
    if compressor is not None and not compressor.expands:
        raise InputError(
            f"head {head!r} needs states, and compressor {_name(compressor)!r} cannot map codes back to states; "
            "use 'bottleneck', 'linear' or 'aesi', or none"
        )


def check_compares(compressor: Compressor | None, head: str) -> None:
    """Refuse a compressor that is not a linear map, for a head that compares codes. Raises: InputError."""
    if compressor is not None and compressor.linear_down() is None:
        raise InputError(
            f"head {head!r} compares codes directly, and codes of compressor {_name(compressor)!r} are comparable only "
            "after they are expanded; use 'projection' or 'linear', or none"
        )


def check_holds_words(compressor: Compressor | None, head: str) -> None:
    """Refuse a compressor whose codes do not begin with the word, for a head that looks for it. Raises: InputError."""
    if not (isinstance(compressor, Quantizer) and compressor.needs_tokens):
        raise InputError(
            f"head {head!r} with same_word=True reads words from codes, and "
            f"{'there is no compressor' if compressor is None else f'compressor {_name(compressor)!r} stores none'}; "
            "use 'words', 'word_residual' or 'word_context'"
        )


def require_query_ids(query: Query, head: str) -> Tensor:
    """Return the token ids of a query [q]. Raises: InputError if it holds none."""
    if query.token_ids is None:
        raise InputError(f"head {head!r} reads the token ids of a query, which this one does not hold; use model.query(text)")
    return query.token_ids


def require_token_ids(query: Query, docs: Candidates, head: str) -> tuple[Tensor, Tensor]:
    """Return the token ids of a query [q] and of candidates [n, m]. Raises: InputError if one is missing."""
    if docs.token_ids is None:
        raise InputError(f"head {head!r} reads the words of candidates, which these do not hold")
    return require_query_ids(query, head), docs.token_ids


def require_states(docs: Candidates, head: str) -> Tensor:
    """Return the candidates' states [n, m, c]. Raises: InputError if they hold none."""
    if docs.states is None:
        raise InputError(f"head {head!r} reads 'states', which these candidates do not hold")
    return docs.states


def require_vectors(query: Query, docs: Candidates, head: str) -> tuple[Tensor, Tensor]:
    """Return the query's vector [h] and the candidates' [n, h]. Raises: InputError if one is missing."""
    if query.vector is None or docs.vector is None:
        raise InputError(f"head {head!r} reads 'vector' of both sides; set `vector` in the method")
    return query.vector, docs.vector


def _name(compressor: Compressor) -> str:
    return type(compressor).__module__.rpartition(".")[2]


def check_choices(own: bool, **choices: str) -> None:
    """Check the settings of `cross_blocks`. Raises: InputError for an unknown value, and for two that exclude each other."""
    for name, choice in choices.items():
        check_choice(name, choice, _CHOICES[name])
    if not isinstance(own, bool):
        raise InputError(f"own={own!r}; expected true or false")
    for name, choice in (("residual", "evidence"), ("readout", "matches")):
        if choices["cache"] == "keys_values" and choices[name] == choice:
            raise InputError(f"{name}={choice!r} compares states, which cache='keys_values' does not store; use cache='states'")
    slots, readout = choices["slots"], choices["readout"]
    if readout == "matches" and slots != "tokens":
        raise InputError(f"readout='matches' needs a row per query token, but slots={slots!r} has one row; use slots='tokens'")
    if readout == "cls" and slots == "mean":
        raise InputError("readout='cls' reads a row that slots='mean' does not have; use readout='mean'")


def check_absorbs(cache: str, pre_norm: bool, linear: bool) -> None:
    """Refuse absorbed attention where keys and values are not linear maps of what is stored. Raises: InputError."""
    reasons = {
        "stored keys and values are projected already (cache='states' fits)": cache == "keys_values",
        "a pre-norm family normalises states before it projects them": pre_norm,
        "these codes need more than a linear map to become states (compressor 'linear' fits, and none)": not linear,
    }
    for reason, holds in reasons.items():
        if holds:
            raise InputError(
                f"attend='absorbed' needs keys and values that are linear maps of what is stored, but {reason}; "
                "use attend='materialised'"
            )
