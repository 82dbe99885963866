"""The kernels of `int8` and `int4` give the bits of numpy, encoding and decoding."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from hypothesis.extra import numpy as arrays

from lateint_store import ArraySpec, part
from lateint_store.codecs.codec import make_codec
from lateint_store.errors import CodecError, InputError
from lateint_store.kernels import halves, scaled
from lateint_store.kernels.scaled import rounded_bytes, scaled_nibbles
from tests.support.kernel_checks import assert_same, checked, kernels

CODECS = [part(name, scale=scale) for name in ("int8", "int4") for scale in ("float32", "float16")]


def numbers(dtype, rows, width):
    x = np.random.default_rng(rows).standard_normal((rows, width)) * 10.0 ** np.arange(-3, rows - 3)[:, None].clip(-3, 2)
    x[1:2] = 0
    return x.astype(dtype)


def coded(codec, dtype, rows, width):
    with kernels(False):
        return codec.encode(numbers(dtype, rows, width))


def both(codec, spec, y):
    for used in (True, False):
        with kernels(used):
            yield codec.decode(y, spec)


CASES = [(codec, dtype, rows) for codec in CODECS for dtype in ("float32", "float16") for rows in (0, 1, 9)]
WIDTHS = (1, 2, 5, 64, 385)


@pytest.mark.parametrize(("chosen", "dtype", "rows"), CASES, ids=str)
def test_equals_numpy_to_the_bit(chosen, dtype, rows):
    codec = make_codec(chosen)
    for width in WIDTHS:
        spec, y = ArraySpec(dtype, width), coded(codec, dtype, rows, width)
        assert_same(*both(codec, spec, y))
        with checked(scaled, halves):
            assert_same(*both(codec, spec, y))


@pytest.mark.parametrize(("chosen", "dtype", "rows"), CASES, ids=str)
def test_the_bytes_are_those_of_numpy(chosen, dtype, rows):
    codec = make_codec(chosen)
    for width in WIDTHS:
        x, expected = numbers(dtype, rows, width), coded(codec, dtype, rows, width)
        with kernels(True):
            assert_same(codec.encode(x), expected)
            assert_same(codec.encode(np.asfortranarray(x)), expected)
            with checked(scaled):
                assert_same(codec.encode(x), expected)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    x=arrays.arrays(np.float32, (4, 6), elements=strategies.floats(-(2.0**20), 2.0**20, width=32)),
    chosen=strategies.sampled_from(CODECS),
)
def test_any_floats(x, chosen):
    codec, (found, expected) = make_codec(chosen), ([], [])
    for used, made in ((True, found), (False, expected)):
        with kernels(used):
            try:
                made.append(codec.encode(x).tobytes())
            except InputError as error:
                made.append(str(error))
    assert found == expected


def test_halves_are_rounded_to_even_and_nothing_else():
    x = np.array([[0.5, 1.5, 2.5, -0.5, -1.5, 127.0]], np.float32)
    assert rounded_bytes(x, np.ones((1, 1), np.float32)).tolist() == [[0, 2, 2, 0, -2, 127]]
    assert rounded_bytes(x, np.full((1, 1), 0.9, np.float32)).tolist() != [[0, 2, 2, 0, -2, 127]]


@pytest.mark.parametrize("chosen", CODECS, ids=str)
def test_codes_that_encoding_never_makes_are_the_same_too(chosen):
    codec, spec = make_codec(chosen), ArraySpec("float32", 256)
    y = np.random.default_rng(0).integers(0, 256, (6, codec.resolve(spec).columns)).astype(np.uint8)
    y[:, -np.dtype(codec.scale).itemsize :] = np.frombuffer(np.array(0.5, codec.scale).tobytes(), np.uint8)
    assert_same(*both(codec, spec, y))


@pytest.mark.parametrize("chosen", CODECS, ids=str)
@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0])
def test_impossible_scales_are_found_before_the_kernel(chosen, scale):
    codec, spec = make_codec(chosen), ArraySpec("float32", 4)
    y = coded(codec, "float32", 3, 4)
    y[2, -np.dtype(codec.scale).itemsize :] = np.frombuffer(np.array(scale, codec.scale).tobytes(), np.uint8)
    with kernels(True), pytest.raises(CodecError, match="a scale is"):
        codec.decode(y, spec)


def test_nibbles_the_other_way_round_differ():
    codec, spec = make_codec(part("int4")), ArraySpec("float32", 64)
    y = coded(codec, "float32", 4, 64)
    scales = np.ascontiguousarray(y[:, 32:]).view(np.float32)
    with kernels(False):
        expected = codec.decode(y, spec)
    assert_same(scaled_nibbles(y, scales, 64, "float32"), expected)
    assert (scaled_nibbles(y << 4 | y >> 4, scales, 64, "float32") != expected).mean() > 0.5
