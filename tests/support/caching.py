"""For tests of the text cache: arrays that follow from a text, and processes that use a cache until they are killed."""

import os
import random
import signal
import time
import traceback
import zlib
from contextlib import contextmanager

import numpy as np

from lateint.indexing.codecs import pipelines, round_trip
from lateint.serving.cache_folder import LEAST_BYTES
from lateint.serving.text_cache import TextCache
from lateint_store.disk.files import allocated_bytes
from tests.support import engine

TEXTS = [f"text number {number}" for number in range(120)]


def states(model, text, rows=None):
    """Arrays of the model's kinds, as if it had encoded the text; by default of 10 to 200 rows, 512 bytes each for colbert."""
    rng = np.random.default_rng(zlib.crc32(text.encode()))
    rows = rng.integers(10, 200) if rows is None else rows
    made = {}
    for name, pipeline in pipelines(model).items():
        spec, shape = pipeline.spec, pipeline.spec.shape(rows)
        made[name] = rng.standard_normal(shape).astype(spec.dtype) if spec.is_float else rng.integers(0, 99, shape, spec.dtype)
    return made


def expected(model, texts, rows=None):
    """What a store would return for these texts."""
    decoded = round_trip([states(model, text, rows) for text in texts], pipelines(model))
    return [{name: array[index] for name, array in decoded.items()} for index in range(len(texts))]


def equal(left, right):
    """True if two entries have the same arrays, bit for bit."""
    return left.keys() == right.keys() and all(
        (left[name].dtype, left[name].shape, left[name].tobytes()) == (array.dtype, array.shape, array.tobytes())
        for name, array in right.items()
    )


@contextmanager
def opened(folder, model=None, max_bytes=LEAST_BYTES, **options):
    """An open cache, by default of a small colbert model and of the least size."""
    cache = TextCache.open(folder, model or engine.model("colbert"), max_bytes, **options)
    try:
        yield cache
    finally:
        cache.close()


def put(cache, texts, rows=None):
    """Put texts with the states that follow from them."""
    model = engine.model("colbert")
    cache.put(texts, [states(model, text, rows) for text in texts])


def holds(cache, texts, rows=None):
    """Which of the texts the cache holds. Raises: AssertionError if one is not as it was put."""
    found = cache.get(texts)
    right = expected(engine.model("colbert"), texts, rows)
    assert all(got is None or equal(got, wanted) for got, wanted in zip(found, right, strict=True))
    return [got is not None for got in found]


def use(folder, model, wanted, seed):
    """Put and get at random, for ever. Raises: AssertionError for a wrong answer, or a cache that is off."""
    rng = random.Random(seed)
    cache = TextCache.open(folder, model, LEAST_BYTES)
    while True:
        chosen = rng.sample(range(len(TEXTS)), rng.randrange(1, 30))
        found = cache.get([TEXTS[number] for number in chosen])
        assert cache.problem is None, cache.problem
        assert all(got is None or equal(got, wanted[number]) for number, got in zip(chosen, found, strict=True))
        lacking = [number for number, got in zip(chosen, found, strict=True) if got is None]
        cache.put([TEXTS[number] for number in lacking], [states(model, TEXTS[number]) for number in lacking])


def forked(action):
    """Run `action` in a forked child; returns its process id. It ends with 0, or 1 after an exception."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        action()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ends(child):
    """How a child ended: its exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_often(folder, kills, workers=2, longest=0.3):
    """Kill users of one cache at random moments; returns (kills, wrong answers, answers that were found, most bytes)."""
    model, rng = engine.model("colbert"), random.Random(5)
    wanted = expected(model, TEXTS)
    killed = wrong = hits = most = 0
    while killed < kills:
        children = [forked(lambda seed=seed: use(folder, model, wanted, seed)) for seed in range(killed, killed + workers)]
        time.sleep(rng.uniform(0, longest))
        for child in children:
            os.kill(child, signal.SIGKILL)
            assert ends(child) == -signal.SIGKILL, "a user of the cache ended by itself"
        killed += workers
        cache = TextCache.open(folder, model, LEAST_BYTES)
        assert cache.problem is None, cache.problem
        found = cache.get(TEXTS)
        wrong += sum(got is not None and not equal(got, right) for got, right in zip(found, wanted, strict=True))
        hits += sum(got is not None for got in found)
        cache.close()
        most = max(most, allocated_bytes(folder))
    return killed, wrong, hits, most
