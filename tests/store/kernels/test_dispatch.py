"""Kernels are used once their savings would have paid for loading them, and numpy works without them."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lateint_store import ArraySpec, Entry, Pipeline, create_store, parse_codecs
from lateint_store.format.record_kernels import copy_all, read_headers
from lateint_store.kernels import dispatch as loading
from lateint_store.kernels.blocks import decode_all
from lateint_store.kernels.compiled import compiled
from lateint_store.kernels.dispatch import LOADING, Missed, load_numba, with_kernel, worth_compiling
from lateint_store.kernels.halves import round_all
from lateint_store.kernels.rotating import quantise_all
from lateint_store.kernels.scaled import find_peaks, round_bytes, round_nibbles, scale_bytes, scale_nibbles
from lateint_store.kernels.stream import read_all, write_all
from tests.support.stores import ABOUT


@pytest.fixture
def missed(monkeypatch):
    fresh = Missed()
    monkeypatch.setattr(loading, "MISSED", fresh)
    return fresh


def test_small_work_adds_up_until_loading_would_have_paid(missed):
    assert [worth_compiling(LOADING / 4) for _ in range(5)] == [False, False, False, True, True]
    assert worth_compiling(0), "from then on for all work"


def test_a_dispatched_function_counts_its_saving_and_runs_one_of_the_two(missed):
    @with_kernel(lambda x: ("kernel", x), saved_ns=LOADING / 10)
    def double(x):
        return "numpy", x

    assert [double(4, x) for x in "abc"] == [("numpy", "a"), ("numpy", "b"), ("kernel", "c")]
    assert double(0, x="d") == ("kernel", "d") and double.reference("e") == ("numpy", "e")
    assert missed.so_far == LOADING


def test_one_large_piece_of_work_is_enough(missed):
    assert not worth_compiling(0.9 * LOADING) and missed.usable
    assert worth_compiling(LOADING)


def test_who_asks_for_them_has_them_from_the_first_call_on(missed):
    assert load_numba() and worth_compiling(0)


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
    assert not worth_compiling(2 * LOADING) and not worth_compiling(2 * LOADING) and not load_numba()


KERNELS = (decode_all, quantise_all, read_all, write_all, round_all)
KERNELS += (find_peaks, round_bytes, round_nibbles, scale_bytes, scale_nibbles)
KERNELS += (read_headers, copy_all)


def test_after_loading_nothing_is_compiled(missed, tmp_path):
    shapes = {"a": ArraySpec("float16", 40), "b": ArraySpec("float32", 16, "one"), "c": ArraySpec("float32", 7)}
    shapes["d"] = ArraySpec("int64", None)
    codecs = parse_codecs("a=drive:6;b=int8:float16;c=int4;d=pack:15+zstd")
    rng = np.random.default_rng(0)
    with create_store(tmp_path / "s", {name: Pipeline(shapes[name], codecs[name]) for name in shapes}, **ABOUT) as store:
        store.load_kernels()
        before = [list(compiled(kernel).signatures) for kernel in KERNELS]
        assert all(before)
        for number, rows in enumerate([5, 0, 30] * 14):
            arrays = {name: (100 * rng.random(spec.shape(rows))).astype(spec.dtype) for name, spec in shapes.items()}
            store.add([Entry(f"doc{number}", arrays)])
        store.get([f"doc{number}" for number in range(42)])
    assert [compiled(kernel).signatures for kernel in KERNELS] == before
