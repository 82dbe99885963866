"""The judge of the soak finds a leak in noise and in short runs, and calls neither noise nor a cache that fills a leak."""

import os
import socket

import numpy as np
import pytest

from tests.soak.samples import Samples, growth, take

# MiB every 10 s, of workers under the load of the soak: two that lost 1 KB a request, and two that no longer did.
LEAKING = [
    [369.2, 374.3, 376.1, 377.6, 379.2, 380.8, 381.7, 382.5, 383.3, 384.1, 384.7, 385.4, 386.1, 386.8, 387.7],
    [366.2, 371.9, 374.0, 376.4, 377.1, 378.1, 378.6, 379.2, 380.1, 380.6, 381.2, 381.6, 382.0, 382.6, 382.9],
]
MENDED = [
    [345.9, 350.1, 350.8, 350.9, 352.2, 352.4, 353.8, 354.1, 354.2, 354.3, 355.0, 355.1, 355.6, 355.6, 355.7, 355.8, 355.9],
    [349.2, 351.8, 353.7, 355.3, 355.5, 356.4, 356.5, 357.7, 357.9, 357.9, 358.0, 358.0, 358.1, 358.1, 358.3, 358.4, 358.5],
]


def recorded(mib, every=1000.0, files=10, sockets=5):
    """Samples of one process; `files`, `sockets`: how many at the end."""
    count = len(mib)
    return Samples(
        list(np.arange(count) * every), list(mib), [*np.linspace(10, files, count)], [*np.linspace(5, sockets, count)]
    )


def long_run(mib):
    """Half an hour in which a process grows by `mib`, with noise."""
    return recorded(100 + np.linspace(0, mib, 240) + np.random.default_rng(0).normal(0, 0.3, 240))


@pytest.mark.parametrize("mib", LEAKING)
def test_a_worker_that_leaked_is_found_in_two_minutes(mib):
    (fault,) = growth(recorded(mib)).faults(14)
    assert "RssAnon" in fault and "MiB in 10,000 answers" in fault


@pytest.mark.parametrize("mib", MENDED)
def test_a_worker_that_only_filled_its_caches_passes_in_three_minutes(mib):
    assert growth(recorded(mib)).faults(14) == []


def test_noise_is_no_leak_and_its_size_is_said():
    found = growth(long_run(0))
    assert found.faults(14) == [] and abs(found.mib) < 0.5 and 1.5 < found.noise_mib < 2.5


def test_a_machine_that_becomes_faster_is_no_leak():
    """As many MiB an answer as before are more in a second; what is judged is answers."""
    answers = np.linspace(0, 1, 240) ** 3 * 20_000
    filling = recorded(100 + 20 * (1 - np.exp(-answers / 6_000)))
    by_time = growth(filling)
    filling.answers = list(answers)
    assert by_time.faults(14) and growth(filling).faults(14) == []


def test_a_slow_leak_is_found_in_half_an_hour():
    assert len(growth(long_run(9)).faults(14)) == 1


def test_growth_at_the_start_is_not_judged():
    filling = long_run(0)
    filling.mib[:80] = np.linspace(20, 100, 80)
    assert growth(filling).faults(14) == []


def test_one_file_and_more_sockets_than_connections_are_found():
    flat = [100.0] * 30
    assert growth(recorded(flat, sockets=19)).faults(14) == []
    assert [fault.split(" grew")[0] for fault in growth(recorded(flat, files=12)).faults(14)] == ["open files"]
    assert [fault.split(" grew")[0] for fault in growth(recorded(flat, sockets=80)).faults(14)] == ["open sockets"]


def test_a_process_is_sampled_and_one_that_has_ended_is_not():
    taken = {}
    take(2**22 + 1, 0.0, taken)
    take(os.getpid(), 0.0, taken)
    with socket.socket():
        take(os.getpid(), 1.0, taken)
    (found,) = taken.values()
    assert found.mib[0] > 10 and found.files[0] == found.files[1] >= 3
    assert found.sockets[1] == found.sockets[0] + 1
