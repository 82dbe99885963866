"""Compile a kernel to machine code on first use, and cache it on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any


@cache
def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel as machine code that releases the GIL. The first call compiles it; later processes load it from disk.

    Functions of the same file that it calls are compiled into it. A kernel must not call functions of other files: the
    cache would not notice that they changed. If no cache folder can be written, each process compiles anew.
    """
    from numba import njit

    kernel = _with_called(kernel)
    try:
        made: Callable[..., Any] = njit(cache=True, nogil=True)(kernel)
    except RuntimeError:  # numba finds no folder for its cache
        made = njit(nogil=True)(kernel)
    return made


def _with_called(kernel: Callable[..., Any]) -> FunctionType:
    """A copy of the kernel in which the names of functions of its file refer to their machine code."""
    assert isinstance(kernel, FunctionType)
    known = kernel.__globals__
    called = [known[name] for name in kernel.__code__.co_names if isinstance(known.get(name), FunctionType)]
    same_file = {function.__name__: compiled(function) for function in called if function.__module__ == kernel.__module__}
    return FunctionType(kernel.__code__, known | same_file, kernel.__name__)
