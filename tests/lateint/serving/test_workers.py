"""The parent of the workers: it replaces those that end, passes signals on, and leaves none behind."""

import os
import signal
import sys
import time

import pytest

from lateint.errors import StoreMismatch
from tests.support import processes


def work(lines, error):
    """A parent of two workers that wait, or raise an error at their start."""
    from lateint.serving import workers

    workers._PAUSE = 0.01

    def wait():
        lines.send(os.getpid())
        if error is not None:
            raise error
        signal.pause()
        return 0

    sys.exit(workers.Workers(wait, after=int, at_stop=int).run(2))


@pytest.fixture
def parent():
    """Start a parent; gives the process, and a function that returns the next worker's process id."""
    running = []

    def start(error=None):
        lines, send = processes.pipe()
        running.append(processes.fork(work, send, error))
        send.close()
        return running[0], lines.recv

    yield start
    running[0].kill()
    running[0].join()


def gone(pid):
    """True once a process has ended."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(("sig", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_all_workers(parent, sig, code):
    process, worker = parent()
    workers = [worker(), worker()]
    os.kill(process.pid, sig)
    process.join(10)
    assert process.exitcode == code and all(map(gone, workers))


def test_no_worker_outlives_its_parent(parent):
    process, worker = parent()
    workers = [worker(), worker()]
    process.kill()
    assert all(map(gone, workers))


def test_a_worker_that_ends_is_replaced(parent):
    _, worker = parent()
    workers = [worker(), worker()]
    os.kill(workers[0], signal.SIGKILL)
    assert worker() not in workers


def test_a_worker_that_cannot_serve_the_store_ends_all_with_3(parent):
    process, worker = parent(StoreMismatch("another model wrote it"))
    worker()
    process.join(10)
    assert process.exitcode == 3


def test_workers_that_fail_at_each_start_end_all_with_1(parent):
    process, worker = parent(OSError("no space left"))
    started = {worker() for _ in range(5)}
    process.join(10)
    assert process.exitcode == 1 and all(map(gone, started))


def test_workers_that_are_killed_at_each_start_are_replaced(parent):
    process, worker = parent()
    worker()
    killed = set()
    for _ in range(7):
        killed.add(now := worker())
        os.kill(now, signal.SIGKILL)
    assert worker() not in killed and process.is_alive()


def test_a_signal_while_another_worker_is_due_ends_all(parent):
    process, worker = parent()
    workers = [worker(), worker()]
    for _ in range(4):
        os.kill(workers[-1], signal.SIGKILL)
        workers.append(worker())
    os.kill(workers[-1], signal.SIGKILL)
    os.kill(process.pid, signal.SIGTERM)
    process.join(10)
    assert process.exitcode == 0 and all(map(gone, workers))
