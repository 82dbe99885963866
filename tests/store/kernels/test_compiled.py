"""Compiling kernels: called functions of the same file are compiled too, and a missing cache folder is no obstacle."""

import numba
import numpy as np
import pytest

from lateint_store.kernels.compiled import compiled


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
    plain = numba.njit

    def njit(cache=False, **settings):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return plain(**settings)

    monkeypatch.setattr(numba, "njit", njit)

    def thrice(x):
        return 3 * x

    assert compiled(thrice)(2) == 6


def test_an_error_of_the_kernel_stays_one():
    def wrong(x):
        return x.nothing

    with pytest.raises(numba.TypingError):
        compiled(wrong)(1)
