"""The encoding kernel of `drive` gives the bytes of numpy, for all bits, scales, widths and lengths."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies

from lateint_store import part
from lateint_store.codecs.codec import make_codec
from lateint_store.errors import InputError
from lateint_store.kernels import rotating
from lateint_store.kernels.rotating import quantised_blocks
from lateint_store.numerics.hadamard import signs
from lateint_store.numerics.lloyd_max import borders, levels
from tests.support.kernel_checks import checked, kernels


def numbers(rows, width, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, width)) * 10.0 ** rng.integers(-3, 3, (rows, 1))
    x[1 : 1 + 256 // width] = 0
    return x.astype(dtype)


def both(codec, x):
    for used in (True, False):
        with kernels(used):
            yield codec.encode(x)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("scale", ["norm", "unbiased"])
@pytest.mark.parametrize("scale_dtype", ["float32", "float16"])
def test_the_bytes_are_those_of_numpy(bits, scale, scale_dtype):
    codec = make_codec(part("drive", bits=bits, scale=scale, scale_dtype=scale_dtype, seed=bits))
    for rows, width, dtype in ((0, 16, "float32"), (1, 1, "float32"), (9, 128, "float16"), (40, 37, "float32")):
        found, expected = both(codec, numbers(rows, width, dtype))
        assert found == expected
    with kernels(True), checked(rotating):
        assert codec.encode(numbers(40, 37)) == expected


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    rows=strategies.integers(0, 30),
    width=strategies.integers(1, 300),
    bits=strategies.integers(1, 8),
    seed=strategies.integers(0, 99),
)
def test_any_shape(rows, width, bits, seed):
    found, expected = both(make_codec(part("drive", bits=bits, seed=seed)), numbers(rows, width, seed=seed))
    assert found == expected


def test_numbers_midway_between_two_levels_fall_on_the_same_side():
    whole = np.random.default_rng(0).integers(-2, 3, (50, 128)).astype(np.float32)
    for bits in (1, 2, 8):
        found, expected = both(make_codec(part("drive", bits=bits)), whole)
        assert found == expected


def test_scales_that_are_too_large_are_refused_with_their_place():
    x = numbers(3, 128)
    x[2, 5] = 1e6
    with kernels(True), pytest.raises(InputError, match="value 1e\\+06 at row 2, column 5 is too large for a float16 scale"):
        make_codec(part("drive", bits=4, scale_dtype="float16")).encode(x)


def test_other_signs_or_borders_give_other_codes():
    x, diagonal = numbers(8, 128).reshape(-1), signs(0, 128).astype(np.float64)
    found = quantised_blocks(x, diagonal, borders(4), levels(4), False)[0]
    for wrong in (
        quantised_blocks(x, np.roll(diagonal, 1), borders(4), levels(4), False)[0],
        quantised_blocks(x, diagonal, borders(4) + 0.5, levels(4), False)[0],
    ):
        assert (wrong != found).mean() > 0.3
