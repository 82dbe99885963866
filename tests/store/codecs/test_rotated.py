"""The codec `rotated`: distortion, directions, inner products from codes, independence of neighbouring rows."""

import numpy as np
import pytest

from lateint_store import ArraySpec, Pipeline, part
from lateint_store.codecs.rotated import Rotated
from lateint_store.errors import CodecError, InputError, SpecError
from lateint_store.numerics.bits import unpack_bits

DISTORTION = {1: 0.3634, 2: 0.1175, 3: 0.03454, 4: 0.009497, 5: 0.002499, 6: 0.000644, 7: 0.000163, 8: 0.000041}


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def rows(n=400, width=64, seed=0):
    return np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)


def round_trip(codec, x):
    return codec.decode(codec.encode(x), ArraySpec("float32", x.shape[1]))


@pytest.mark.parametrize("bits", DISTORTION)
def test_the_cosine_with_what_was_stored_is_that_of_the_quantiser(bits):
    x = rows(3000, 128)
    found = round_trip(Rotated(bits), x)
    cosines = (unit(x.astype(np.float64)) * unit(found.astype(np.float64))).sum(axis=1)
    assert np.mean(cosines) == pytest.approx(np.sqrt(1 - DISTORTION[bits]), abs=0.004)
    assert cosines.min() > np.sqrt(1 - DISTORTION[bits]) - 0.15


def test_a_row_of_one_number_is_as_easy_as_noise_and_would_not_be_without_the_rotation():
    x = np.zeros((1, 64), np.float32)
    x[0, 5] = 1
    found = round_trip(Rotated(1, "none"), x)
    assert found[0] @ x[0] == pytest.approx(1, abs=1e-6)  # every turned number is +-1/8: exact with one bit
    levels = np.where(x[0] >= 0, 1, -1) / 8  # one bit of the row as it is
    assert levels @ x[0] == pytest.approx(1 / 8)


@pytest.mark.parametrize("scale", ["float32", "float16", "none"])
def test_lengths_are_kept_or_one(scale):
    x = rows(50) * np.float32(7)
    lengths = np.linalg.norm(round_trip(Rotated(2, scale), x).astype(np.float64), axis=1)
    wanted = 1 if scale == "none" else np.linalg.norm(x.astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, np.broadcast_to(wanted, lengths.shape), rtol=1e-3 if scale == "float16" else 1e-6)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_an_inner_product_needs_the_levels_only(bits):
    codec, x, query = Rotated(bits, "none", seed=3), rows(), rows(7, seed=1)
    codes = unpack_bits(np.ascontiguousarray(codec.encode(x).T), bits)
    levels = codec.levels[codes].T
    found = codec.turn(query) @ (levels / np.linalg.norm(levels, axis=1, keepdims=True)).T
    np.testing.assert_allclose(found, query @ round_trip(codec, x).T, atol=1e-5)
    unturned = query @ (levels / np.linalg.norm(levels, axis=1, keepdims=True)).T
    assert np.abs(unturned - query @ round_trip(codec, x).T).max() > 1


def test_a_multiple_of_a_row_has_its_indices_and_neighbours_do_not_matter():
    codec, x = Rotated(4, "none"), rows(9)
    np.testing.assert_array_equal(codec.encode(4 * x), codec.encode(x))
    np.testing.assert_array_equal(codec.encode(x[3:4]), codec.encode(x)[3:4])
    assert not np.array_equal(codec.encode(-x), codec.encode(x))


def test_the_seed_chooses_the_rotation_and_must_be_the_same():
    x = rows(9)
    stored = Rotated(4, "none", seed=1).encode(x)
    right, wrong = (Rotated(4, "none", seed=seed).decode(stored, ArraySpec("float32", 64)) for seed in (1, 2))
    assert (unit(x) * right).sum(axis=1).min() > 0.95 and np.abs((unit(x) * wrong).sum(axis=1)).max() < 0.8


@pytest.mark.parametrize(
    ("bits", "scale", "width", "size"), [(1, "none", 64, 8), (2, "float16", 32, 10), (3, "float32", 128, 52)]
)
def test_bytes_a_token(bits, scale, width, size):
    pipeline = Pipeline(ArraySpec("float32", width), (part("rotated", bits=bits, scale=scale),))
    assert len(pipeline.encode(rows(77, width))) == 77 * size


@pytest.mark.parametrize("width", [4, 24, 100, 384])
def test_a_width_that_is_no_power_of_two_is_refused(width):
    with pytest.raises(SpecError, match=f"not {width}; 'drive' takes any width"):
        Pipeline(ArraySpec("float32", width), (part("rotated", bits=2),))


@pytest.mark.parametrize("settings", [{"bits": 0}, {"bits": 9}, {"bits": 2, "scale": "int8"}, {"bits": 2, "seed": -1}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(SpecError, match="rotated"):
        Pipeline(ArraySpec("float32", 64), (part("rotated", **settings),))


def test_a_row_too_long_for_its_scale_is_refused_with_its_place():
    x = np.ones((3, 64), np.float32)
    x[2] = 60_000
    with pytest.raises(InputError, match="value 60000 in row 2"):
        Rotated(2, "float16").encode(x)
    assert np.isfinite(round_trip(Rotated(2, "float32"), x)).all()


@pytest.mark.parametrize("scale", [np.nan, -1.0, np.inf])
def test_a_scale_that_nobody_wrote_is_a_codec_error(scale):
    codec = Rotated(2, "float32")
    stored = codec.encode(rows(2))
    stored[1, -4:] = np.frombuffer(np.array([scale], "<f4").tobytes(), np.uint8)
    with pytest.raises(CodecError):
        codec.decode(stored, ArraySpec("float32", 64))
