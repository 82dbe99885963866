"""The vector of a text, before it is computed: how wide it is, and the map that makes it."""

from __future__ import annotations

from typing import Any

from lateint.errors import InputError
from lateint.methods.method import Method
from lateint.methods.registry import build, find


def pooled_width(method: Method, states_width: int) -> int:
    """Numbers that the pool of vectors gives. Raises: InputError for a method without vectors."""
    if method.vector is None:
        raise InputError(f"method {method.name!r} has no vectors; set `vector` in the method to a pool such as 'mean'")
    width: int = find("pools", method.vector.name).width(states_width, **dict(method.vector.settings))
    return width


def build_vector_map(method: Method, states_width: int) -> Any:
    """The learned map of pooled vectors, fresh; None for a method without one."""
    if method.vector_map is None:
        return None
    return build("compressors", method.vector_map, pooled_width(method, states_width))


def vector_width(method: Method, states_width: int) -> int:
    """Numbers of a stored vector: what the map gives, or the pool where there is none."""
    mapped = build_vector_map(method, states_width)
    return pooled_width(method, states_width) if mapped is None else int(mapped.width)
