"""The width of a text's vector, and the learned map that makes it."""

from __future__ import annotations

from lateint.compressors.base import Compressor
from lateint.errors import InputError
from lateint.methods.method import Method
from lateint.methods.registry import build, find


def pooled_width(method: Method, states_width: int) -> int:
    """Return the width of the vector pool's output. Raises: InputError for a method without vectors."""
    if method.vector is None:
        raise InputError(f"method {method.name!r} has no vectors; set `vector` in the method to a pool such as 'mean'")
    width: int = find("pools", method.vector.name).width(states_width, **dict(method.vector.settings))
    return width


def build_vector_map(method: Method, states_width: int) -> Compressor | None:
    """Build a fresh map of pooled vectors; None for a method without one."""
    if method.vector_map is None:
        return None
    built: Compressor = build("compressors", method.vector_map, pooled_width(method, states_width))
    return built


def vector_width(method: Method, states_width: int) -> int:
    """Return the width of a stored vector: that of the map, or of the pool without a map."""
    mapped = build_vector_map(method, states_width)
    return pooled_width(method, states_width) if mapped is None else mapped.width
