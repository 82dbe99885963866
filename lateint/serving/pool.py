"""A bounded pool of threads that rank, each with one torch thread; work in the background never delays other work."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar, cast

import torch

P = ParamSpec("P")
T = TypeVar("T")
_Job = tuple["Future[object]", Callable[[], object]]


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


class ScorerPool:
    """Run functions on threads for an event loop, first come first served.

    `threads`: how many run at once. Work in the background starts only while no other work waits; of several threads, and of
    several processors, it leaves one to other work. Work whose caller has given up is dropped.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._most_background = max(1, min(self.threads, processors()) - 1)
        self._urgent: deque[_Job] = deque()
        self._background: deque[_Job] = deque()
        self._running = self._in_background = 0
        self._changed = threading.Condition()
        self._closed = False
        self._workers = [threading.Thread(target=self._work, name=f"scorer-{i}", daemon=True) for i in range(self.threads)]
        for worker in self._workers:
            worker.start()

    @property
    def busy(self) -> bool:
        """True if something runs."""
        return self._running > 0

    @property
    def waiting(self) -> int:
        """Jobs that wait for a thread."""
        return len(self._urgent) + len(self._background)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns, computed on a thread."""
        return await self._submit(self._urgent, lambda: work(*args, **kwargs))

    async def run_in_background(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns, computed on a thread that nothing else waits for."""
        return await self._submit(self._background, lambda: work(*args, **kwargs))

    async def _submit(self, queue: deque[_Job], work: Callable[[], T]) -> T:
        future: Future[object] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the pool is closed")
            queue.append((future, work))
            self._changed.notify()
        return cast(T, await asyncio.wrap_future(future))

    def close(self) -> None:
        """Stop the threads after the work that has started; work that waits is dropped."""
        with self._changed:
            self._closed = True
            for future, _ in (*self._urgent, *self._background):
                future.cancel()
            self._urgent.clear()
            self._background.clear()
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def _next(self) -> tuple[_Job, int] | None:
        """Take a job, and say whether it counts as background work."""
        if self._urgent:
            return self._urgent.popleft(), 0
        if self._background and self._in_background < self._most_background:
            return self._background.popleft(), 1
        return None

    def _work(self) -> None:
        torch.get_num_threads()  # otherwise torch initialises this thread later, with another count
        torch.set_num_threads(1)
        while True:
            with self._changed:
                while (found := self._next()) is None:
                    if self._closed:
                        return
                    self._changed.wait()
                (future, work), background = found
                self._running += 1
                self._in_background += background
            try:
                _complete(future, work)
            finally:
                del future, work, found
                with self._changed:
                    self._running -= 1
                    self._in_background -= background
                    if background:
                        self._changed.notify()


def _complete(future: Future[object], work: Callable[[], object]) -> None:
    """Run a job, unless its caller has given up, and hand over what it returns or raises."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
