"""float32 to float16 against numpy's rounding: on every float16, between neighbours, and beyond the range."""

import numpy as np
import pytest

from lateint_store.kernels import halves
from lateint_store.kernels.halves import halved
from tests.support.kernel_checks import assert_same, checked


def every_half():
    found = np.arange(1 << 16).astype(np.uint16).view(np.float16)
    return found[np.isfinite(found)].astype(np.float32)


def reference(x):
    with np.errstate(over="ignore"):
        return x.astype(np.float16)


def test_every_half_comes_back():
    assert_same(halved(every_half()), reference(every_half()))


@pytest.mark.parametrize("toward", [-np.inf, np.inf])
def test_midway_between_two_halves_and_beside_it(toward):
    """Ties to even, and the next float32 on either side of a tie."""
    each = np.unique(every_half())
    ties = (each[:-1].astype(np.float64) + each[1:]).astype(np.float32) / 2
    for x in (ties, np.nextafter(ties, np.float32(toward))):
        assert_same(halved(x), reference(x))


def test_any_bits_but_those_that_are_no_number():
    words = np.random.default_rng(0).integers(0, 1 << 32, 300_000, np.uint32)
    x = words.view(np.float32)
    x = x[~np.isnan(x)]
    assert_same(halved(x), reference(x))
    assert np.isinf(halved(np.array([65520, -1e30, np.inf], np.float32))).all()


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 2050])
def test_the_kernel_is_its_reference(count):
    x = np.random.default_rng(count).standard_normal((count, 1)).astype(np.float32) * np.float32(1e-4)
    with checked(halves):
        found = halved(x)
    assert_same(found, reference(x))
    assert_same(halved(x), found)


def test_cutting_instead_of_rounding_differs():
    x = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    cut = (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
    assert (halved(cut) != halved(x)).mean() > 0.3
