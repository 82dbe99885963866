"""Choose between a compiled kernel and its numpy reference.

Importing numba takes half a second, which a few small calls must not wait for. So work starts in numpy, and each process
switches to kernels for good once the time that they would have saved equals that of the import. Both give the same bits,
so the choice never shows in a result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar

from lateint_store.kernels.compiled import compiles

P = ParamSpec("P")
R = TypeVar("R")

LOADING = 5e8
"""Nanoseconds to import numba and read a kernel from disk. The first time on a machine, compiling takes 5 s instead."""


@dataclass(slots=True)
class Missed:
    """Nanoseconds that kernels would have saved so far. `usable` is False if numba cannot compile."""

    so_far: float = 0.0
    usable: bool = True


MISSED = Missed()
"""The state of this process, the only one behind the choice. Nothing outside this module changes it.

Two threads may lose an update to each other; then kernels start a little later, and nothing else changes.
"""


@dataclass(frozen=True, slots=True)
class Dispatched(Generic[P, R]):
    """A function with two implementations that give the same bits; called like the reference, after a count.

    `kernel`, `reference`: the compiled implementation and the numpy one, with the same parameters. `saved_ns`: nanoseconds
    that the kernel saves for each of the `count` numbers (or records, or documents) of a call.
    """

    kernel: Callable[P, R]
    reference: Callable[P, R]
    saved_ns: float

    def __call__(self, count: int, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the kernel if kernels are in use, else the reference, and add the missed saving to the state."""
        chosen = self.kernel if worth_compiling(self.saved_ns * count) else self.reference
        return chosen(*args, **kwargs)


def with_kernel(kernel: Callable[P, R], *, saved_ns: float) -> Callable[[Callable[P, R]], Dispatched[P, R]]:
    """Decorate a numpy reference with its kernel: `f(x)` becomes `f(count, x)`. See `Dispatched`."""
    return lambda reference: Dispatched(kernel, reference, saved_ns)


def worth_compiling(saved: float) -> bool:
    """Count `saved` nanoseconds that a kernel would save now; True if kernels are in use from here on.

    Kernels are used from the call on that brings the sum of all missed savings to `LOADING`. So no process waits more than
    twice as long as with the best choice in hindsight.
    """
    if MISSED.so_far >= LOADING:
        return MISSED.usable
    MISSED.so_far += saved
    return MISSED.so_far >= LOADING and load_numba()


def load_numba() -> bool:
    """Use kernels from now on, for any amount of work. False if numba cannot compile; then numpy is used."""
    MISSED.so_far = LOADING
    MISSED.usable = MISSED.usable and compiles()
    return MISSED.usable
