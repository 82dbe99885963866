import hashlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from hypothesis.extra import numpy as arrays

from lateint_store import ArraySpec, Pipeline, open_store, parse_codecs, part, verify_store
from lateint_store.codecs.codec import make_codec
from lateint_store.errors import CodecError, InputError, SpecError
from lateint_store.numerics.lloyd_max import borders, levels
from tests.support import stores

# relative squared error on Gaussian blocks, for 1, 2, ... 6 bits: D for "norm", D / (1 - D) for "unbiased"
NORM = [0.3634, 0.1175, 0.0345, 0.0095, 0.0025, 0.00064]
UNBIASED = [0.571, 0.133, 0.0358, 0.0096, 0.0025, 0.00064]
HEAVY = [0.296, 0.099, 0.030, 0.0084]


def pipeline(bits=6, width=128, dtype="float32", **more):
    return Pipeline(ArraySpec(dtype, width), (part("drive", bits=bits, **more),))


def passed(x, **chosen):
    built = pipeline(width=x.shape[1], dtype=x.dtype.name, **chosen)
    return built.decode(built.encode(x), len(x))


def gaussian(rows, width=128, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)


def cubed_laplace(rows):
    return (np.random.default_rng(1).laplace(size=(rows, 128)) ** 3).astype(np.float32)


def error(x, found):
    """Mean over blocks of |x - x'|**2 / |x|**2."""
    wide = x.astype(np.float64)
    return float((((wide - found) ** 2).sum(axis=1) / (wide**2).sum(axis=1)).mean())


def read(encoded, bits):
    """A reader written from the docstring alone: computes every number of every block by its definition, with seed 0."""
    stream = int.from_bytes(hashlib.shake_256(b"lateint drive 0").digest(16), "little")
    signs = [-1 if stream >> place & 1 else 1 for place in range(128)]
    numbers = []
    for start in range(0, len(encoded), 16 * bits + 4):
        packed = int.from_bytes(encoded[start : start + 16 * bits], "little")
        scale = float(np.frombuffer(encoded[start + 16 * bits :][:4], "<f4")[0])
        chosen = [levels(bits)[packed >> (bits * place) & (1 << bits) - 1] for place in range(128)]
        for row in range(128):
            total = sum(level * (-1) ** (row & column).bit_count() for column, level in enumerate(chosen))
            numbers.append(signs[row] * scale * total / 128**0.5)
    return np.array(numbers)


def test_another_reader_reads_it():
    x = gaussian(3, 70)
    for bits in (2, 6, 7):
        built = pipeline(bits, 70)
        encoded = built.encode(x)
        np.testing.assert_allclose(read(encoded, bits)[:210].reshape(3, 70), built.decode(encoded, 3), atol=1e-5)


@pytest.mark.parametrize("scale", ["norm", "unbiased"])
@pytest.mark.parametrize("bits", range(1, 9))
def test_a_multiple_is_stored_as_the_multiple(bits, scale):
    x = gaussian(5)
    found = passed(x, bits=bits, scale=scale)
    assert np.array_equal(passed(x * np.float32(8), bits=bits, scale=scale), 8 * found), "powers of two: to the bit"
    np.testing.assert_allclose(passed(x * np.float32(3), bits=bits, scale=scale), 3 * found, rtol=1e-5, atol=1e-6)
    assert not np.allclose(passed(x * np.float32(-3), bits=bits, scale=scale), 3 * found, rtol=1e-5)


def test_the_seed_chooses_the_rotation_and_must_be_the_same():
    x = gaussian(4)
    first, other = pipeline(seed=1), pipeline(seed=2)
    assert first.encode(x) == pipeline(seed=1).encode(x) != other.encode(x)
    assert error(x, first.decode(first.encode(x), 4)) < 0.001 < 0.5 < error(x, other.decode(first.encode(x), 4))


@pytest.mark.parametrize(("bits", "norm", "unbiased"), [(n, *both) for n, both in enumerate(zip(NORM, UNBIASED), 1)])
def test_the_error_on_gaussian_blocks_is_that_of_the_quantiser(bits, norm, unbiased):
    x = gaussian(3000)
    found = {scale: error(x, passed(x, bits=bits, scale=scale)) for scale in ("norm", "unbiased")}
    assert found["norm"] == pytest.approx(norm, rel=0.03) and found["unbiased"] == pytest.approx(unbiased, rel=0.03)
    if bits < 3:
        assert found["unbiased"] != pytest.approx(norm, rel=0.03), "the wrong rule is told apart"
        assert found["norm"] != pytest.approx(unbiased, rel=0.03)


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_one_rule_keeps_inner_products_and_the_other_the_least_error(bits):
    x = gaussian(3000)
    kept = {s: float(np.mean((x * passed(x, bits=bits, scale=s)).sum(1) / (x * x).sum(1))) for s in ("norm", "unbiased")}
    assert kept["unbiased"] == pytest.approx(1, abs=0.004)
    assert kept["norm"] == pytest.approx(1 - NORM[bits - 1], abs=0.004)


@pytest.mark.parametrize(("bits", "heavy"), list(enumerate(HEAVY, 1)))
def test_heavy_tails_come_out_better_than_noise_and_would_not_without_the_rotation(bits, heavy):
    x = cubed_laplace(3000)
    found = error(x, passed(x, bits=bits))
    assert found == pytest.approx(heavy, rel=0.05) and found < NORM[bits - 1]
    lengths = np.linalg.norm(x, axis=1, keepdims=True) / np.sqrt(128)
    assert error(x, levels(bits)[np.searchsorted(borders(bits), x / lengths)] * lengths) > 1.5 * NORM[bits - 1]


@pytest.mark.parametrize(
    ("width", "bits", "size"),
    [(16, 6, 1000), (16, 5, 840), (16, 4, 680), (12, 6, 800), (8, 6, 500), (8, 5, 420), (8, 4, 340), (4, 5, 252)],
)
def test_bytes_of_the_published_configurations(width, bits, size):
    assert len(pipeline(bits, width).encode(gaussian(77, width))) == size
    assert len(pipeline(bits, width, scale_dtype="float16").encode(gaussian(77, width))) == size - 2 * -(-77 * width // 128)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(rows=strategies.integers(0, 20), width=strategies.integers(1, 140), bits=strategies.integers(1, 8))
def test_bytes_of_a_document_are_blocks_times_codes_and_scale(rows, width, bits):
    built = pipeline(bits, width)
    encoded = built.encode(gaussian(rows, width))
    assert len(encoded) == -(-rows * width // 128) * (16 * bits + 4)
    assert built.decode(encoded, rows).shape == (rows, width), "the filling is decoded and left out"


def test_the_size_tells_the_blocks_of_a_document_and_not_its_rows():
    built, x = pipeline(width=16), gaussian(9, 16)
    np.testing.assert_array_equal(built.decode(built.encode(x), 16)[:9], built.decode(built.encode(x), 9))
    for rows in (8, 17):
        with pytest.raises(CodecError, match="bytes where"):
            built.decode(built.encode(x), rows)


def test_bytes_of_a_document_do_not_know_its_neighbours_but_a_block_does():
    built, first, second = pipeline(width=16), gaussian(9, 16), gaussian(13, 16, seed=5)
    alone = built.encode(first)
    assert [built.array_bytes([first, other])[0] for other in (second, second * 100)] == [alone, alone]
    changed = first.copy()
    changed[0, 0] += 1
    altered = built.encode(changed)
    assert altered[:100] != alone[:100] and altered[100:] == alone[100:], "the second block begins at byte 100"


def test_blocks_are_coded_alike_alone_and_together():
    x = gaussian(2500)
    built = pipeline()
    assert built.encode(x) == b"".join(built.array_bytes(list(x[:, None])))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    x=arrays.arrays(np.float32, (6, 50), elements=strategies.floats(-(2.0**20), 2.0**20, width=32)),
    bits=strategies.integers(1, 8),
    scale=strategies.sampled_from(["norm", "unbiased"]),
)
def test_the_bound_is_the_length_of_the_error_of_a_block(x, bits, scale):
    codec = make_codec(part("drive", bits=bits, scale=scale))
    found = passed(x, bits=bits, scale=scale).astype(np.float64)
    bound = codec.bound(x)
    padded = np.zeros(384)
    padded[:300] = (found - x).ravel()
    lengths = np.linalg.norm(padded.reshape(3, 128), axis=1)
    assert (np.abs(found - x) <= bound).all()
    assert (lengths[:2] <= bound[[1, 4], 0]).all(), "not only each number: whole blocks, where none is cut"
    assert (bound <= 1.001 * np.abs(x).max() * np.sqrt(128) + 1e-30).all(), "and it says something"


def test_zeros_come_back_as_zeros_next_to_other_blocks():
    x = gaussian(3)
    x[1] = 0
    for bits in (1, 6):
        for scale in ("norm", "unbiased"):
            found = passed(x, bits=bits, scale=scale)
            assert not found[1].any() and found[0].any() and found[2].any()
    assert pipeline(1).encode(x)[20:40] == b"\xff" * 16 + bytes(4), "midway between two levels the upper one is taken"


def test_values_that_are_no_numbers_or_beyond_the_dtype_are_refused():
    x = gaussian(3)
    for wrong, match in ((np.nan, "value nan at row 2, column 5 is not finite"), (3e38, r"value 3e\+38 at row 2, column 5 is")):
        x[2, 5] = wrong
        with pytest.raises(InputError, match=match):
            pipeline().encode(x)
    x[2, 5] = 1e6
    with pytest.raises(InputError, match="too large for a float16 scale of float32 numbers"):
        pipeline(scale_dtype="float16").encode(x)
    assert error(x, passed(x)) < 0.001


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0])
def test_impossible_scales_are_a_codec_error(scale):
    with pytest.raises(CodecError, match="a scale is"):
        pipeline(1).decode(bytes(16) + np.float32(scale).tobytes(), 1)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"bits": 0}, "bits=0"),
        ({"bits": 9}, "bits=9"),
        ({"bits": 6.0}, "bits=6.0"),
        ({"scale": "float16"}, "scale='float16' is not one of 'norm', 'unbiased'"),
        ({"scale_dtype": "float64"}, "scale_dtype='float64'"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": True}, "seed=True"),
        ({"dtype": "int64"}, "needs float16 or float32 input, got int64"),
    ],
)
def test_settings_that_do_not_fit_are_refused(wrong, match):
    with pytest.raises(SpecError, match=match):
        pipeline(**wrong)


def test_a_store_keeps_it_and_verifies(tmp_path):
    codecs = "states=drive:6+zstd;token_ids=pack:15;vector=cast:float16+drive:bits=4,scale=unbiased,seed=3"
    with stores.create_store(tmp_path / "s", stores.specs(codecs), **stores.ABOUT, window=stores.WINDOW) as store:
        stores.fill(store, 70)
        store.seal()
    assert verify_store(tmp_path / "s").ok
    with open_store(tmp_path / "s") as store:
        assert store.manifest.specs == stores.specs(codecs)
        for entry in stores.entries(range(70)):
            found = store.get([entry.id])[0]
            for name, built in stores.specs(codecs).items():
                assert found[name].dtype == built.dtype_out
                given = built.spec.as_matrix(entry.arrays[name]).astype(np.float64)
                assert (np.abs(found[name].reshape(given.shape) - given) <= built.bound(entry.arrays[name])).all()


def test_the_syntax_of_the_command_line():
    assert parse_codecs("states=drive:6,scale=unbiased") == {"states": (part("drive", bits=6, scale="unbiased"),)}
