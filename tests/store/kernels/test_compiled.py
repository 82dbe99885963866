"""Compiling kernels: called functions of the same file are compiled too, and a missing cache folder is no obstacle."""

import errno
import os

import numba
import numpy as np
import pytest
from numba.core import caching

from lateint_store.kernels import disk_cache, dispatch
from lateint_store.kernels.compiled import compiled, compiles


def twice(x):
    return x + x


def doubled(values, out):
    for place in range(len(values)):
        out[place] = twice(values[place])


def test_what_a_kernel_calls_is_compiled_into_it():
    out = np.zeros(3)
    compiled(doubled)(np.arange(3.0), out)
    assert out.tolist() == [0, 2, 4]
    assert compiled(doubled) is compiled(doubled) and compiled(doubled).nopython_signatures
    assert doubled.__globals__["twice"] is twice, "the plain function is left as it is"


def test_without_a_place_for_the_cache_it_compiles(monkeypatch):
    def no_locator(self, function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(caching.FunctionCache, "__init__", no_locator)

    def thrice(x):
        return 3 * x

    monkeypatch.setattr(disk_cache, "_named", set())
    with pytest.warns(RuntimeWarning, match=r"without their cache in .*kernels \(cannot cache function"):
        assert compiled(thrice)(2) == 6


def test_an_error_of_the_kernel_stays_one():
    def wrong(x):
        return x.nothing

    with pytest.raises(numba.TypingError):
        compiled(wrong)(1)


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """A cache of its own, which has kernels of earlier processes if it is used twice."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(disk_cache, "_named", set())
    return tmp_path / "cache"


def fresh(kernel=twice):
    """The kernel as a process that starts now compiles it, or loads it."""
    compiled.cache_clear()
    made = compiled(kernel)
    assert made(21) == 42
    return made


def test_a_later_process_loads_what_an_earlier_one_compiled(cache_folder):
    assert not fresh().stats.cache_hits and fresh().stats.cache_hits
    assert {file.suffix for file in cache_folder.rglob("*") if file.is_file()} == {".nbi", ".nbc"}


def flipped(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def emptied(file):
    file.write_bytes(b"")


@pytest.mark.parametrize("kind", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize("damage", [flipped, emptied])
def test_a_damaged_cache_is_compiled_anew_named_once_and_replaced(cache_folder, damage, kind):
    fresh()
    for file in cache_folder.rglob(kind):
        damage(file)
    with pytest.warns(RuntimeWarning, match=rf"without their cache in {cache_folder}.*is damaged.*NUMBA_CACHE_DIR") as caught:
        assert not fresh().stats.cache_hits
    assert len(caught) == 1
    assert fresh().stats.cache_hits


def test_a_cache_of_another_user_or_without_room_is_not_used(cache_folder, monkeypatch):
    fresh()
    monkeypatch.setattr(disk_cache.os, "geteuid", lambda: 12345)
    for file in cache_folder.rglob("*.nb?"):
        if not os.getuid():  # files of root are trusted
            os.chown(file, 12346, -1)
    with pytest.warns(RuntimeWarning, match="belongs to another user"):
        assert not fresh().stats.cache_hits


def test_a_full_disk_costs_no_result(cache_folder, monkeypatch):
    def full(self, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "_open_for_write", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        fresh()
    fresh()  # no second warning: pytest makes warnings errors


def test_kernels_that_numba_runs_as_python_are_not_used(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    monkeypatch.setattr(dispatch, "MISSED", dispatch.Missed())
    assert not compiles() and not dispatch.load_numba() and not dispatch.worth_compiling(10 * dispatch.LOADING)
