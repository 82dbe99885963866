"""Work through a queue with actors of Ray, one process each, any of which may die at any time.

Ray restarts no actor and repeats no call here: with a finite number of retries it raised ActorUnavailableError for an actor
on a dead node that was not declared dead yet. The queue decides what is tried again, and every call is idempotent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import ray
from ray.exceptions import RayError

from lateint.cluster.work_queue import Fault, FaultCount, WorkQueue

_TICK = 0.2  # seconds between two looks at the progress
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # before another process is started in place of one that died


class Worker(Protocol):
    """What runs in a process of its own. Errors come back as data, never raised: Ray would wrap them."""

    def start(self) -> Fault | None:
        """Load what all pieces of work need."""
        ...

    def work(self, piece: int, *inputs: object) -> object:
        """Do a piece of work, with what `Crew.inputs` gives for it. Returns: its result, or a Fault."""
        ...

    def progress(self) -> int:
        """How far the present piece is, from another thread."""
        ...


@dataclass(frozen=True, slots=True)
class Needs:
    """What each worker takes of a machine: processors, one torch thread each, and graphics processors."""

    workers: int | None = None
    cpus: int = 1
    gpus: float = 0.0


@dataclass(slots=True, eq=False)
class _Seat:
    """A place for a worker: its actor, the call that it runs (None: none), and the piece that the call is for (None: start)."""

    actor: Any = None
    call: Any = None
    piece: int | None = None
    asked: Any = None
    at: int = 0
    not_before: float = 0.0
    pause: float = _FIRST_PAUSE


@dataclass(slots=True)
class Crew:
    """Actors that work through a queue. `make`: class of a `Worker`; `arguments` go to each, `inputs` to each piece."""

    make: type
    arguments: tuple[object, ...]
    needs: Needs
    inputs: Callable[[int], object] | None = None
    _seats: list[_Seat] = field(default_factory=list)

    def run(
        self, queue: WorkQueue, starts: FaultCount, tick: Callable[[int, int], None]
    ) -> Generator[tuple[int, Any], None, None]:
        """Yield each piece with its result, as it is done. `starts` counts errors of starting a worker.

        tick: called with the sum of all progress in unfinished pieces, and the number of workers that are at work.
        Raises: ClusterError at the third equal error of a piece, or of starting workers while none has started.
        """
        with self._seated(queue.left):
            while queue.left:
                for seat in self._seats:
                    self._assign(seat, queue)
                calls = {seat.call: seat for seat in self._seats if seat.call is not None}
                if not calls:
                    time.sleep(_TICK)  # all wait for their next attempt
                for call in ray.wait(list(calls), timeout=_TICK)[0] if calls else ():
                    yield from self._answered(calls[call], queue, starts)
                working = [seat for seat in self._seats if seat.piece is not None]
                tick(sum(map(_progress, working)), len(working))

    @contextmanager
    def _seated(self, most: int) -> Iterator[None]:
        """Make the seats, and end all actors at the end, however it comes."""
        wanted = self.needs.workers or _fitting(self.needs)
        self._seats = [_Seat() for _ in range(max(1, min(wanted, most)))]
        try:
            yield
        finally:
            for seat in self._seats:
                _kill(seat)

    def _assign(self, seat: _Seat, queue: WorkQueue) -> None:
        """Start a worker on a seat without one, or give it a piece. A worker gets none before it has started."""
        if seat.call is not None or time.monotonic() < seat.not_before:
            return
        if seat.actor is None:
            seat.actor = self._class().remote(*self.arguments)
            seat.call = seat.actor.start.remote()
        elif (piece := queue.take()) is not None:
            seat.piece, seat.at, seat.asked = piece, 0, None
            seat.call = seat.actor.work.remote(piece, *(() if self.inputs is None else (self.inputs(piece),)))

    def _class(self) -> Any:
        """The class of the actors. Ray neither restarts one nor repeats a call."""
        options = {"num_cpus": self.needs.cpus, "num_gpus": self.needs.gpus, "max_restarts": 0, "max_task_retries": 0}
        remote: Any = ray.remote  # its types lack what actors alone have
        return remote(concurrency_groups={"progress": 1}, **options)(self.make)

    def _answered(self, seat: _Seat, queue: WorkQueue, starts: FaultCount) -> Iterator[tuple[int, object]]:
        """Take the answer of a call, or bury the worker that cannot give one."""
        call, piece, seat.call, seat.piece = seat.call, seat.piece, None, None
        try:
            answer = ray.get(call)
        except RayError:
            _dismiss(seat)
            if piece is not None:
                queue.lost(piece)
            return
        if isinstance(answer, Fault):
            if piece is not None:
                queue.failed(piece, answer)
                return
            _dismiss(seat)
            starts.add(answer)
        elif piece is None:
            seat.pause = _FIRST_PAUSE
            starts.clear()
        else:
            queue.done(piece)
            yield piece, answer


def _progress(seat: _Seat) -> int:
    """The last known progress of a worker; asks again without waiting."""
    if seat.asked is not None and ray.wait([seat.asked], timeout=0)[0]:
        with suppress(RayError):  # the call itself says so
            seat.at = ray.get(seat.asked)
        seat.asked = None
    if seat.asked is None:
        seat.asked = seat.actor.progress.options(concurrency_group="progress").remote()
    return seat.at


def _dismiss(seat: _Seat) -> None:
    """End the worker of a seat; another one starts there after a pause that doubles."""
    _kill(seat)
    seat.not_before = time.monotonic() + seat.pause
    seat.pause = min(2 * seat.pause, _LONGEST_PAUSE)


def _kill(seat: _Seat) -> None:
    actor, seat.actor, seat.call = seat.actor, None, None
    if actor is not None:
        with suppress(Exception):  # it may be dead, or the connection gone
            ray.kill(actor, no_restart=True)


def _fitting(needs: Needs) -> int:
    """How many workers fit on the machines of the cluster."""
    there = ray.cluster_resources()  # type: ignore[no-untyped-call]
    fit = int(there.get("CPU", 1) // needs.cpus)
    return fit if not needs.gpus else min(fit, int(there.get("GPU", 0) / needs.gpus))
