"""`WorkQueue`: what is left to do, what waits to be tried again, and when a piece of work is given up. It knows no machines."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lateint.errors import ClusterError

EQUAL_FAILURES = 3
"""So many equal errors of one piece of work fail the job: the next attempt would end alike."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds before a piece of work is tried again; the pause doubles


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of a worker as data. `passing`: True if it says nothing of the work, such as a lock of a dying process."""

    kind: str
    message: str
    passing: bool = False

    @classmethod
    def of(cls, error: Exception, passing: bool = False) -> Fault:
        """Describe an error."""
        return cls(type(error).__name__, str(error), passing)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class FaultCount:
    """Counts equal errors of one thing. `name`: what it is called in the error, such as "shard 3"."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._faults: Counter[Fault] = Counter()

    def add(self, fault: Fault) -> None:
        """Count an error. Raises: ClusterError at the third equal one."""
        if fault.passing:
            return
        self._faults[fault] += 1
        if self._faults[fault] >= EQUAL_FAILURES:
            raise ClusterError(f"{self._name} failed {EQUAL_FAILURES} times with the same error: {fault}")

    def clear(self) -> None:
        """Forget all errors: it works."""
        self._faults.clear()


@dataclass(slots=True)
class _Attempts:
    faults: FaultCount
    pause: float = _FIRST_PAUSE


class WorkQueue:
    """Pieces of work by number, given out in order. `name`: what a piece is called in errors, such as "shard".

    A piece whose worker died is tried again without limit, each time after a longer pause.
    """

    def __init__(self, name: str, pieces: Iterable[int], clock: Callable[[], float] = time.monotonic) -> None:
        self._name, self._clock = name, clock
        self._ready = deque(pieces)
        self._pausing: dict[int, float] = {}  # piece -> when it may be tried again
        self._begun: set[int] = set()
        self._attempts: dict[int, _Attempts] = {}

    @property
    def left(self) -> int:
        """Number of pieces that are not done."""
        return len(self._ready) + len(self._pausing) + len(self._begun)

    def take(self) -> int | None:
        """Give out a piece; None while there is none to begin."""
        now = self._clock()
        for piece in sorted(piece for piece, then in self._pausing.items() if then <= now):
            del self._pausing[piece]
            self._ready.append(piece)
        if not self._ready:
            return None
        piece = self._ready.popleft()
        self._begun.add(piece)
        return piece

    def done(self, piece: int) -> None:
        """A piece is done."""
        self._begun.remove(piece)
        self._attempts.pop(piece, None)

    def lost(self, piece: int) -> None:
        """The worker of a piece died, or its machine."""
        self._again(piece)

    def failed(self, piece: int, fault: Fault) -> None:
        """A piece ended in an error. Raises: ClusterError at its third equal one."""
        self._again(piece).faults.add(fault)

    def _again(self, piece: int) -> _Attempts:
        self._begun.remove(piece)
        attempts = self._attempts.setdefault(piece, _Attempts(FaultCount(f"{self._name} {piece}")))
        self._pausing[piece] = self._clock() + attempts.pause
        attempts.pause = min(2 * attempts.pause, _LONGEST_PAUSE)
        return attempts
