"""The judge of the soak finds a leak in noise, and calls noise none."""

import os

import numpy as np

from tests.soak.samples import Samples, growth, take


def samples(mib, files=10):
    seconds = np.arange(120) * 15.0
    noise = np.random.default_rng(0).normal(0, 0.5, 120)
    return Samples(list(seconds), list(100 + mib * seconds / seconds[-1] + noise), [*np.linspace(10, files, 120)])


def test_noise_is_no_leak():
    assert growth(samples(0)).faults == []
    filling = samples(0)
    filling.mib[:30] = np.linspace(20, 100, 30)
    assert growth(filling).faults == [], "the first quarter is not judged"


def test_a_leak_is_found():
    found = growth(samples(8))
    assert 5 < found.mib < 7 and 3 < found.noise_mib < 4 and len(found.faults) == 1 and "RssAnon" in found.faults[0]


def test_open_files_that_grow_are_found():
    assert [fault for fault in growth(samples(0, files=60)).faults if "open files" in fault]


def test_a_process_is_sampled_and_one_that_has_ended_is_not():
    taken = {}
    take(os.getpid(), 0.0, taken)
    take(2**22 + 1, 0.0, taken)
    assert list(taken) == [os.getpid()] and taken[os.getpid()].mib[0] > 10 and taken[os.getpid()].files[0] >= 3
