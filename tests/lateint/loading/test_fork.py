"""A child that is forked after torch ran on several threads ranks on one thread, and does not wait for threads left behind."""

import os
import time

import numpy as np
import pytest
import torch

from lateint.errors import InputError
from lateint.loading.load import load_model
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine
from tests.support.engine import DOCUMENTS, QUERY, close, scores

_PATIENCE_S = 60


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.randn(600, 600) @ torch.randn(600, 600)  # large enough to start OpenMP's threads
    torch.randn(1 << 20).exp()
    yield
    torch.set_num_threads(before)


def in_child(work):
    """Run `work` in a forked child. Returns: its exit code, or None if it hangs."""
    child = os.fork()
    if not child:
        code = 9
        try:
            code = int(not work())
        finally:
            os._exit(code)
    for _ in range(10 * _PATIENCE_S):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


def test_a_forked_child_ranks(two_threads):
    ranker = Ranker(engine.model())
    wanted = scores(ranker.rank(QUERY, documents=DOCUMENTS))

    def work():
        torch.randn(1 << 20).exp()
        return torch.get_num_threads() == 1 and close(scores(ranker.rank(QUERY, documents=DOCUMENTS)), wanted)

    assert in_child(work) == 0
    assert torch.get_num_threads() == 2, "the parent keeps its threads"


def test_more_threads_in_a_forked_child_are_refused(two_threads):
    def work():
        load_model(tiny.checkpoint("bert"), "cosine", threads=1, **engine.LENGTHS)
        with pytest.raises(InputError, match=r"threads=2 in a process that was forked.*spawn"):
            load_model(tiny.checkpoint("bert"), "cosine", threads=2, **engine.LENGTHS)
        return True

    assert in_child(work) == 0


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "2", 4097, 1 << 70])
def test_threads_are_checked_by_name(threads):
    with pytest.raises(InputError, match="threads="):
        load_model(tiny.checkpoint("bert"), threads=threads)


def test_a_dtype_of_another_kind_is_refused_by_name():
    for dtype in (np.ones(2), 3, ["float32"]):
        with pytest.raises(InputError, match=r"dtype is a .*expected float32"):
            load_model(tiny.checkpoint("bert"), dtype=dtype)
