"""One thread works on an item while its caller is busy with the items beside it; order and errors are those of a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def overlapped(pool: Executor, work: Callable[[Item], Result], items: Iterator[Item]) -> Iterator[Result]:
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
