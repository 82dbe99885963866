"""Run short work on one torch thread, so that its time holds when the machine is busy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Let torch use one thread in this thread, inside the `with` block; with `wanted` False, leave it as it is.

    The layers of a short query are a hundred small products. On several threads each of them waits for the slowest thread,
    and on a busy machine that one waits for a processor: a query took 1.2 s so, and 17 ms on one thread. On an idle machine
    a second thread gains little. A thread that first uses torch meanwhile gets one torch thread. Cost: below 1 us.
    """
    before = torch.get_num_threads() if wanted else 1
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
