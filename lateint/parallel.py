"""Batches side by side: each runs on one thread of its own, so that no bit depends on how many threads there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(device: torch.device, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
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
