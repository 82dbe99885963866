"""One thread works on an item while its caller is busy with the items beside it; order and errors are those of a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(pool: Executor, work: Callable[[Item], Result], items: Iterator[Item]) -> Iterator[Result]:
    """Results of `work` in order: the pool works on one item while the caller makes the next and uses the one before.

    `items` are made in the caller's thread. An error of theirs, an interruption too, is raised once the items before it
    are done and their results were taken. An error of `work` ends everything: no item after it is begun.
    """
    running: Future[Result] | None = None
    failure: BaseException | None = None
    while True:
        made = []
        try:
            made.append(next(items))
        except StopIteration:
            pass
        except BaseException as error:
            failure = error
        done = [] if running is None else [running.result()]
        running = pool.submit(work, made.pop()) if made else None
        yield from done
        if running is None:
            break
    if failure is not None:
        raise failure


def map_on_threads(device: torch.device, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Results of `work` in order: on a processor as many items at once as the caller has torch threads, else one by one.

    Layers of small models wait less for each other so than with each product spread over all threads, and what Python does
    between two products runs beside them. The caller's own count stays; a thread that begins meanwhile counts one.
    An error ends everything: what has not begun does not begin.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        return [work(item) for item in items]
    autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")  # which a new thread would not know
    pool = ThreadPoolExecutor(min(threads, max(1, len(items))), "lateint-layers", _alone, autocast)
    try:
        return list(pool.map(work, items))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _alone(enabled: bool, dtype: torch.dtype) -> None:
    """Make this thread one that runs its work by itself."""
    torch.get_num_threads()  # or torch sets up the thread later, with another count
    torch.set_num_threads(1)
    torch.set_autocast_dtype("cpu", dtype)
    torch.set_autocast_enabled("cpu", enabled)
