"""Batches on several threads: equal bits for any number of threads, in order, with the caller's settings."""

import threading
import time

import numpy as np
import pytest
import torch

from lateint.indexing.threads import map_on_threads
from tests.support import engine
from tests.support.engine import DOCUMENTS

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_stand_in_order_and_each_item_has_one_thread(threads):
    counts, names = [], set()

    def work(item):
        time.sleep(0.02 * (item % 3 == 0))
        counts.append(torch.get_num_threads())
        names.add(threading.current_thread().name)
        return item * item

    assert map_on_threads(CPU, work, range(12)) == [item * item for item in range(12)]
    assert counts == [1] * 12 and (len(names) > 1) == (threads > 1)
    assert torch.get_num_threads() == threads
    assert map_on_threads(CPU, work, []) == []


def test_a_store_has_the_same_content_at_every_count_of_threads(tmp_path):
    digests, before = [], torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        with engine.store(tmp_path / str(count), "prettr", window=7) as store:
            digests.append(store.info()["content_digest"])
        assert torch.get_num_threads() == count
    torch.set_num_threads(before)
    assert digests[0] == digests[1]


def test_autocast_of_the_caller_holds_and_ends_with_it(threads):
    def dtype(_):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype

    with torch.autocast("cpu", torch.bfloat16):
        assert set(map_on_threads(CPU, dtype, range(4))) == {torch.bfloat16}
    assert set(map_on_threads(CPU, dtype, range(4))) == {torch.float32}


def test_an_error_ends_everything_and_leaves_the_count(threads):
    begun = []

    def work(item):
        begun.append(item)
        if item == 1:
            raise ValueError("the second")
        time.sleep(0.02)

    with pytest.raises(ValueError, match="the second"):
        map_on_threads(CPU, work, range(200))
    assert len(begun) < 200 and torch.get_num_threads() == threads


def test_another_device_runs_one_by_one_in_the_caller(threads):
    names = map_on_threads(torch.device("meta"), lambda _: threading.current_thread().name, range(3))
    assert set(names) == {threading.current_thread().name}


def test_a_document_alone_has_the_bits_that_a_build_gives_it(threads):
    model = engine.model("prettr")
    rows = model.document_tokens(DOCUMENTS[:6])
    alone = [entry for found in map_on_threads(CPU, lambda row: model.encode([row]), rows) for entry in found]
    torch.set_num_threads(1)
    for entry, row in zip(alone, rows, strict=True):
        np.testing.assert_array_equal(entry["states"], model.encode([row])[0]["states"])
