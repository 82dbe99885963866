import numpy as np
import pytest

from lateint_store import ArraySpec, Pipeline, part
from lateint_store.errors import CodecError, InputError, SpecError


def pipeline(scale="float32", dtype="float32", width=4):
    return Pipeline(ArraySpec(dtype, width), (part("int8", scale=scale),))


def test_codes_and_scale_by_hand():
    # max 2.54 -> scale 0.02; 1.0 / 0.02 = 50, -2.54 / 0.02 = -127
    encoded = pipeline().encode(np.array([[1.0, -2.54, 0.0, 0.011]], np.float32))
    assert np.frombuffer(encoded[:4], np.int8).tolist() == [50, -127, 0, 1]
    assert np.frombuffer(encoded[4:], "<f4")[0] == pytest.approx(0.02)


def test_the_largest_value_of_a_row_comes_back_within_float_rounding():
    x = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    found = pipeline().decode(pipeline().encode(x), 50)
    peaks = np.abs(x).argmax(axis=1)
    np.testing.assert_allclose(found[range(50), peaks], x[range(50), peaks], rtol=1e-6)


@pytest.mark.parametrize(("scale", "extra"), [("float32", 4), ("float16", 2)])
def test_bytes_a_vector(scale, extra):
    assert len(pipeline(scale).encode(np.ones((3, 4), np.float32))) == 3 * (4 + extra)


def test_a_row_of_zeros_comes_back_as_zeros():
    assert not pipeline().decode(pipeline().encode(np.zeros((2, 4), np.float32)), 2).any()


def test_values_beyond_a_float16_scale_are_refused():
    with pytest.raises(InputError, match=r"value 1e\+07 in row 1 is too large for a float16 scale"):
        pipeline("float16").encode(np.array([[1] * 4, [1e7] * 4], np.float32))


def test_integers_are_refused():
    with pytest.raises(SpecError, match="needs float16 or float32 input, got int64"):
        pipeline(dtype="int64")


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0])
def test_impossible_scales_are_a_codec_error(scale):
    with pytest.raises(CodecError, match="a scale is"):
        pipeline().decode(bytes(4) + np.float32(scale).tobytes(), 1)
