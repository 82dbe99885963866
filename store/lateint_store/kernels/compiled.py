"""Machine code of a kernel, made on first use and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any


@cache
def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel as machine code, without Python's lock: compiled by the first call ever, loaded by the first of a process.

    Functions of its own file that it calls are compiled into it; one of another file would not be noticed when it changes.
    Where no folder can be written, each process compiles for itself.
    """
    from numba import njit

    kernel = _with_called(kernel)
    try:
        made: Callable[..., Any] = njit(cache=True, nogil=True)(kernel)
    except RuntimeError:  # no place for the cache
        made = njit(nogil=True)(kernel)
    return made


def _with_called(kernel: Callable[..., Any]) -> FunctionType:
    """A copy of the kernel that finds machine code under the names of functions of its file."""
    assert isinstance(kernel, FunctionType)
    known = kernel.__globals__
    called = [known[name] for name in kernel.__code__.co_names if isinstance(known.get(name), FunctionType)]
    own = {function.__name__: compiled(function) for function in called if function.__module__ == kernel.__module__}
    return FunctionType(kernel.__code__, known | own, kernel.__name__)
