"""A seed gives the same numbers in every thread, whatever other threads do, and in a forked child."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import torch

from lateint.backbone.seeding import seeded


def numbers(meet=None):
    """Draw two numbers; between them, give another thread the time to draw its first."""
    with seeded(3):
        first = float(torch.rand(1))
        if meet is not None:
            with suppress(threading.BrokenBarrierError):
                meet.wait(0.1)
        return first, float(torch.rand(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_threads_draw_the_same_numbers_at_once_and_restore_what_was_set(dtype):
    expected, before, state = numbers(), torch.get_default_dtype(), torch.random.get_rng_state()
    torch.set_default_dtype(dtype)
    try:
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(numbers, [threading.Barrier(2)] * 2)) == [expected] * 2
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_child_that_is_forked_while_a_thread_draws_does_not_wait_for_it():
    inside, leave = threading.Event(), threading.Event()

    def draw():
        with seeded(1):
            inside.set()
            leave.wait()

    thread = threading.Thread(target=draw)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        with seeded(3):
            os._exit(0)
    leave.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
