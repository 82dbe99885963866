"""When kernels are used: numba takes half a second to load, which a few small calls must not wait for.

numpy and kernels give the same numbers, so the choice never shows in a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

LOADING = 5e8
"""Nanoseconds that importing numba and reading a kernel from disk take; the first time on a machine it is compiled, 5 s."""


@dataclass(slots=True)
class Missed:
    """What kernels would have saved in this process until now, in nanoseconds; `usable` is False where numba is not there."""

    so_far: float = 0.0
    usable: bool = True


MISSED = Missed()


def pays(saved: float) -> bool:
    """Whether work in which a kernel saves so many nanoseconds is to be done by it.

    Yes from the call on with which all that was missed reaches `LOADING`: so nobody waits twice as long as with hindsight.
    Two threads at once may lose a count; nothing else depends on it.
    """
    if MISSED.so_far >= LOADING:
        return MISSED.usable
    MISSED.so_far += saved
    return MISSED.so_far >= LOADING and load_numba()


def load_numba() -> bool:
    """Use kernels from now on, whatever the work; False where numba cannot be imported, and numpy goes on."""
    MISSED.so_far = LOADING
    try:
        import numba  # noqa: F401
    except ImportError:
        MISSED.usable = False
    return MISSED.usable
