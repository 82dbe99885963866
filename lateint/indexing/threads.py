"""Run work on threads, with results and errors in the order of a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(pool: Executor, work: Callable[[Item], Result], items: Iterator[Item]) -> Iterator[Result]:
    """Yield the results of `work` in order; the pool works on one item while the caller makes the next and uses the last.

    `items` are made in the caller's thread. If making one fails or is interrupted, the error is raised after the results
    of all items before it were yielded. An error of `work` stops the iteration; no further item is started.
    """
    running: Future[Result] | None = None
    failure: BaseException | None = None
    while True:
        upcoming = []
        try:
            upcoming.append(next(items))
        except StopIteration:
            pass
        except BaseException as error:
            failure = error
        done = [] if running is None else [running.result()]
        running = pool.submit(work, upcoming.pop()) if upcoming else None
        yield from done
        if running is None:
            break
    if failure is not None:
        raise failure


def map_on_threads(device: torch.device, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the results of `work` in order. On a CPU, as many items run at once as torch has threads, each on one thread.

    For small models this is faster than one item on all threads: threads wait less for each other, and Python code runs in
    parallel with matrix products. The caller's torch thread count is restored; a thread that starts meanwhile has one torch
    thread. After an error, no further item is started.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        return [work(item) for item in items]
    autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")  # a new thread does not inherit it
    pool = ThreadPoolExecutor(min(threads, max(1, len(items))), "lateint-layers", _use_one_thread, autocast)
    try:
        return list(pool.map(work, items))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _use_one_thread(enabled: bool, dtype: torch.dtype) -> None:
    """Let torch use one thread in this thread, with the caller's autocast state."""
    torch.get_num_threads()  # otherwise torch initialises this thread later, with another count
    torch.set_num_threads(1)
    torch.set_autocast_dtype("cpu", dtype)
    torch.set_autocast_enabled("cpu", enabled)
