"""A setting that is one of a few words: the type that lists them is what it is checked against."""

from __future__ import annotations

from typing import Any, get_args

from lateint.errors import InputError


def check_choice(name: str, choice: str, words: Any) -> None:
    """Refuse a setting that is none of the words of its `Literal` type. Raises: InputError."""
    if choice not in get_args(words):
        raise InputError(f"{name}={choice!r}; expected one of {', '.join(get_args(words))}")
