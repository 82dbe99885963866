"""A bounded pool of threads that rank, each with one torch thread; work in the background never delays other work."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
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
        self._lock = threading.Lock()
        self._idle: list[threading.Semaphore] = []  # of threads that wait, the one that worked last at the end
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
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            queue.append((future, work))
            self._wake()
        return cast(T, await asyncio.wrap_future(future))

    def close(self) -> None:
        """Stop the threads after the work that has started; work that waits is dropped."""
        with self._lock:
            self._closed = True
            for future, _ in (*self._urgent, *self._background):
                future.cancel()
            self._urgent.clear()
            self._background.clear()
            while self._idle:
                self._wake()
        for worker in self._workers:
            worker.join()

    def _wake(self) -> None:
        """Wake the thread that worked last, as its caches are warm. Called with the lock."""
        if self._idle:
            self._idle.pop().release()

    def _next(self) -> tuple[_Job, int] | None:
        """Take a job, which runs from now on, and say whether it counts as background work. Called with the lock."""
        if self._urgent:
            self._running += 1
            return self._urgent.popleft(), 0
        if self._background and self._in_background < self._most_background:
            self._running += 1
            self._in_background += 1
            return self._background.popleft(), 1
        return None

    def _work(self) -> None:
        torch.get_num_threads()  # otherwise torch initialises this thread later, with another count
        torch.set_num_threads(1)
        own, tell = threading.Semaphore(0), _nobody
        while True:
            with self._lock:
                if (found := self._next()) is None and not self._closed:
                    self._idle.append(own)  # before the caller is told, so that its next job comes to this thread
                closed = self._closed
            tell()
            tell = _nobody
            if found is None:
                if closed:
                    return
                own.acquire()
                continue
            (future, work), background = found
            tell = _outcome(future, work)
            del future, work, found
            with self._lock:  # before the caller is told, who may ask at once whether something runs
                self._running -= 1
                self._in_background -= background
                if background:
                    self._wake()


def _nobody() -> None:
    """Tell nobody."""


def _outcome(future: Future[object], work: Callable[[], object]) -> Callable[[], None]:
    """Run a job, unless its caller has given up; the function that is returned tells the caller what came out."""
    if not future.set_running_or_notify_cancel():
        return _nobody
    try:
        result = work()
    except BaseException as error:
        return partial(future.set_exception, error)
    return partial(future.set_result, result)
