"""Peak memory of a query does not depend on the number of documents in the store."""

import random
from pathlib import Path

import pytest

from lateint.indexing.build import build_store
from lateint.indexing.store import open_store
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine, processes

SIZES = (2_000, 20_000)
CANDIDATES, CALLS = 200, 30
MUCH = 8 << 20  # a fifth of the size difference between the stores


def ranked(path):
    """Rank documents spread over the whole store."""
    with open_store(path) as store:
        ranker, draw = Ranker(engine.model(), store), random.Random(0)
        for _ in range(CALLS):
            ranker.rank(engine.QUERY, [str(place) for place in draw.sample(range(len(store)), CANDIDATES)])


def read_whole(path):
    """Read the whole store, which a ranker must not do."""
    with open_store(path) as store:
        held = [store.decode(page) for page in store.scan()]
    assert held


def peak(work, path):
    from tests.campaign.memory import Peak, anonymous_bytes

    with Peak() as seen:
        work(path)
    return max(seen.bytes, anonymous_bytes())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="RssAnon is Linux's")
def test_the_memory_of_a_query_does_not_grow_with_the_store(tmp_path):
    texts = tiny.texts(1_000, longest=24)
    for size in SIZES:
        build_store(engine.model(), (texts[place % 1_000] for place in range(size)), tmp_path / str(size)).close()
    grown = processes.call(growth, *(tmp_path / str(size) for size in SIZES))
    assert grown["ranked"] < MUCH
    assert grown["read_whole"] > 2 * MUCH  # so the test detects a ranking that reads the whole store


def growth(small, large):
    """In the child: bytes by which the peak of each function grows from the small to the large store, ranking first."""
    ranked(small)  # warm up: the first call of a process allocates more
    return {work.__name__: -peak(work, small) + peak(work, large) for work in (ranked, read_whole)}
