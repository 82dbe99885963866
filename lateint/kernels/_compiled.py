"""Machine code of a kernel, made on first use and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel as machine code, without Python's lock: compiled by the first call ever, loaded by the first of a process."""
    from numba import njit

    made: Callable[..., Any] = njit(cache=True, nogil=True)(kernel)
    return made
