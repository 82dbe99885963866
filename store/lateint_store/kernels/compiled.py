"""Compile a kernel to machine code on first use, and cache it on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any


def compiles() -> bool:
    """True if numba can be imported and compiles. With NUMBA_DISABLE_JIT=1 it runs kernels as Python: numpy is faster."""
    try:
        from numba import config
    except ImportError:
        return False
    return not config.DISABLE_JIT  # type: ignore[attr-defined]


@cache
def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel as machine code that releases the GIL. The first call compiles it; later processes load it from disk.

    Functions of the same file that it calls are compiled into it. A kernel must not call functions of other files: the
    cache would not notice that they changed. If no cache folder can be used, each process compiles anew.
    """
    from numba import njit

    made: Callable[..., Any] = njit(nogil=True)(_with_called(kernel))
    if compiles():
        from lateint_store.kernels.disk_cache import keep_on_disk

        keep_on_disk(made)
    return made


def _with_called(kernel: Callable[..., Any]) -> FunctionType:
    """A copy of the kernel in which the names of functions of its file refer to their machine code."""
    assert isinstance(kernel, FunctionType)
    known = kernel.__globals__
    called = [known[name] for name in kernel.__code__.co_names if isinstance(known.get(name), FunctionType)]
    same_file = {function.__name__: compiled(function) for function in called if function.__module__ == kernel.__module__}
    return FunctionType(kernel.__code__, known | same_file, kernel.__name__)
