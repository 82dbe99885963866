"""Kernels are used from the moment on when they would have paid for being loaded, and never have to be there."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lateint_store import ArraySpec, Pipeline, parse_codecs
from lateint_store.format.record_kernels import copy_all, read_heads
from lateint_store.kernels import dispatch as loading
from lateint_store.kernels.blocks import decode_all
from lateint_store.kernels.compiled import compiled
from lateint_store.kernels.dispatch import LOADING, Missed, load_numba, pays
from lateint_store.kernels.halves import round_all
from lateint_store.kernels.rotating import quantise_all
from lateint_store.kernels.scaled import find_peaks, round_bytes, round_nibbles, scale_bytes, scale_nibbles
from lateint_store.kernels.stream import read_all, write_all
from lateint_store.reading.fetch import load_kernels
from tests.support.stores import build


@pytest.fixture
def missed(monkeypatch):
    fresh = Missed()
    monkeypatch.setattr(loading, "MISSED", fresh)
    return fresh


def test_small_work_adds_up_until_loading_would_have_paid(missed):
    assert [pays(LOADING / 4) for _ in range(5)] == [False, False, False, True, True]
    assert pays(0), "from then on whatever the work"


def test_one_large_piece_of_work_is_enough(missed):
    assert not pays(0.9 * LOADING) and missed.usable
    assert pays(LOADING)


def test_who_asks_for_them_has_them_from_the_first_call_on(missed):
    assert load_numba() and pays(0)


def test_many_threads_may_decode_at_once(missed):
    pipeline = Pipeline(ArraySpec("float16", 40), parse_codecs("states=int4+pack:8")["states"])
    arrays = [np.random.default_rng(rows).standard_normal((rows, 40)).astype(np.float16) for rows in range(50)]
    payloads, counts = pipeline.array_bytes(arrays), list(range(50))
    expected = pipeline.decode_many(payloads, counts).values
    load_numba()
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: pipeline.decode_many(payloads, counts).values, range(40)):
            np.testing.assert_array_equal(found, expected)


def test_without_numba_numpy_goes_on(missed, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert not pays(2 * LOADING) and not pays(2 * LOADING) and not load_numba()


KERNELS = (decode_all, quantise_all, read_all, write_all, round_all)
KERNELS += (find_peaks, round_bytes, round_nibbles, scale_bytes, scale_nibbles)
KERNELS += (read_heads, copy_all)


def test_after_loading_nothing_is_compiled(missed, tmp_path):
    specs = [(ArraySpec("float16", 40), "drive:6"), (ArraySpec("float32", 16, "one"), "int8:float16")]
    specs += [(ArraySpec("float32", 7), "int4"), (ArraySpec("int64", None), "pack:15+zstd")]
    pipelines = [Pipeline(spec, parse_codecs(f"states={codecs}")["states"]) for spec, codecs in specs]
    load_kernels(pipelines)
    before = [list(compiled(kernel).signatures) for kernel in KERNELS]
    assert all(before)
    rng = np.random.default_rng(0)
    for pipeline in pipelines:
        counts = [5, 0, 30] if pipeline.spec.rows == "tokens" else [1, 1, 1]
        arrays = [(100 * rng.random(pipeline.spec.shape(rows))).astype(pipeline.spec.dtype) for rows in counts]
        pipeline.decode_many([pipeline.pack(data) for data in pipeline.array_bytes(arrays)], counts)
    with build(tmp_path / "s", 40) as store:
        store.fetch([f"doc{number}" for number in range(40)])
    assert [compiled(kernel).signatures for kernel in KERNELS] == before
