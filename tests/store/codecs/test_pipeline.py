import numpy as np
import pytest
from hypothesis import given, settings, strategies
from hypothesis.extra import numpy as arrays

from lateint_store import ArraySpec, Part, Pipeline, parse_codecs, part
from lateint_store.codecs.codec import make_codec
from lateint_store.errors import CodecError, InputError, SpecError
from lateint_store.ragged import Payloads

STATES = ArraySpec("float32", 4)


def pipeline(text, spec=STATES):
    return Pipeline(spec, parse_codecs(f"a={text}")["a"])


def test_codecs_out_of_order_are_refused():
    for text in ("zstd+int8", "raw+int8", "raw+raw", "zstd+raw"):
        with pytest.raises(SpecError, match="are out of order: first array codecs"):
            pipeline(text)


def test_codecs_that_do_not_fit_are_refused_when_built():
    with pytest.raises(SpecError, match="'int8' needs float16 or float32 input, got uint8"):
        pipeline("int4+int8")


def test_settings_are_written_out():
    assert pipeline("int8+zstd").to_json() == {
        "spec": {"dtype": "float32", "width": 4, "rows": "tokens"},
        "codecs": [
            {"name": "int8", "configuration": {"scale": "float32"}},
            {"name": "raw", "configuration": {}},
            {"name": "zstd", "configuration": {"level": 1, "checksum": True}},
        ],
    }
    assert pipeline("int8+zstd") == pipeline("int8:float32+raw+zstd:level=1")


@pytest.mark.parametrize(
    ("text", "lossless", "dtype"),
    [
        ("raw", True, "float32"),
        ("zstd", True, "float32"),
        ("cast:float16", False, "float16"),
        ("cast:float16+int8", False, "float16"),
    ],
)
def test_what_comes_out_is_known_beforehand(text, lossless, dtype):
    built = pipeline(text)
    assert (built.lossless, built.dtype_out) == (lossless, dtype)
    assert str(built.decode(built.encode(np.ones((2, 4), np.float32)), 2).dtype) == dtype


@pytest.mark.parametrize(
    "text", ["cast:float16+int8+zstd+checksum", "int4:float16+checksum+zstd", "cast:float16+int4+zstd:level=3"]
)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(array=arrays.arrays(np.float32, (3, 4), elements=strategies.floats(-1000, 1000, width=32)))
def test_chains_of_codecs_stay_within_the_sum_of_their_bounds(text, array):
    built = pipeline(text)
    found = built.decode(built.encode(array), 3)
    assert (np.abs(found.astype(np.float64) - array) <= built.bound(array)).all()


def test_an_encoded_array_of_other_rows_is_refused():
    built = pipeline("int8+zstd")
    encoded = built.encode(np.ones((5, 4), np.float32))
    for rows in (0, 4, 6):
        with pytest.raises(CodecError):
            built.decode(encoded, rows)


def test_payloads_are_bounded_before_any_codec_sees_them():
    with pytest.raises(CodecError, match="encoded bytes, at most"):
        pipeline("zstd").decode(bytes(1 << 20), 2)


def test_documents_stack_with_offsets():
    built = pipeline("raw", ArraySpec("int64", None))
    found = built.decode_many([built.encode(np.arange(rows)) for rows in (2, 0, 3)], [2, 0, 3])
    assert found.values.tolist() == [0, 1, 0, 1, 2] and found.offsets.tolist() == [0, 2, 2, 5]
    assert [array.tolist() for array in found] == [[0, 1], [], [0, 1, 2]] and len(found) == 3
    with pytest.raises(IndexError):
        found[3]


@pytest.mark.parametrize("text", ["raw", "int8", "int4:float16+zstd", "cast:float16+int8+checksum", "drive:bits=4"])
@pytest.mark.parametrize("spec", [STATES, ArraySpec("float32", None), ArraySpec("float32", 6, "one")])
def test_coded_rows_are_what_the_array_codecs_decode(text, spec):
    built, rng = pipeline(text, spec), np.random.default_rng(2)
    counts = [1, 1, 1] if spec.rows == "one" else [2, 0, 5]
    encoded = [built.encode(rng.standard_normal(spec.shape(rows)).astype(np.float32)) for rows in counts]
    coded, decoded = built.coded_rows(encoded, counts), built.decode_many(encoded, np.array(counts))
    assert (str(coded.values.dtype), coded.spec) == (built.coded_spec.dtype, built.coded_spec)
    assert coded.offsets.tolist() == decoded.offsets.tolist() and len(coded.values) == sum(counts)
    matrix, before = coded.values.reshape(-1, coded.spec.columns), [spec]
    codecs = [make_codec(chosen) for chosen in built.coding if chosen.name in ("cast", "int8", "int4")]
    for codec in codecs:
        before.append(codec.resolve(before[-1]))
    for codec, taken in zip(reversed(codecs), reversed(before[:-1]), strict=True):
        matrix = codec.decode(matrix, taken)
    np.testing.assert_array_equal(matrix.reshape(decoded.values.shape), decoded.values)


def test_coded_rows_of_int8_are_codes_and_scale_in_the_memory_that_was_fetched():
    built = pipeline("int8")
    payloads = Payloads.join([built.encode(np.full((rows, 4), 127, np.float32)) for rows in (2, 3)])
    coded = built.coded_rows(payloads, [2, 3])
    assert coded.values.shape == (5, 8) and np.shares_memory(coded.values, payloads.data)
    assert coded.values[4].tolist() == [127] * 4 + [0, 0, 128, 63], "1.0 in little-endian float32"


def test_payloads_and_pieces_decode_alike_and_sizes_are_compared():
    built = pipeline("int8+zstd")
    pieces = [built.encode(np.ones((rows, 4), np.float32)) for rows in (2, 0, 3)]
    np.testing.assert_array_equal(
        built.decode_many(Payloads.join(pieces), [2, 0, 3]).values, built.decode_many(pieces, [2, 0, 3]).values
    )
    plain = pipeline("raw")
    with pytest.raises(CodecError, match="32 bytes where 3 rows take 48"):
        plain.decode_many(Payloads.join([bytes(16), bytes(32)]), [1, 3])
    with pytest.raises(CodecError, match="2 documents, but row counts of 3"):
        plain.decode_many([bytes(16), bytes(32)], [1, 2, 3])


def test_nothing_decodes_to_nothing():
    assert pipeline("int8+zstd").decode_many([], []).values.shape == (0, 4)
    assert pipeline("raw").array_bytes([]) == []


@pytest.mark.parametrize(
    "data",
    [
        {"dtype": "float64", "width": 4, "rows": "tokens"},
        {"dtype": "float32", "width": None, "rows": "one"},
        {"dtype": "float32", "width": 0, "rows": "tokens"},
        {"dtype": "float32", "width": 4, "rows": "two"},
        {"dtype": "int8"},
    ],
)
def test_specs_that_are_none_are_refused(data):
    with pytest.raises(SpecError):
        ArraySpec.from_json(data)


def test_json_that_is_no_pipeline_is_refused():
    good = pipeline("raw").to_json()
    for wrong in ({}, {"spec": good["spec"]}, good | {"codecs": "raw"}, good | {"codecs": [{"name": "raw", "x": 1}]}):
        with pytest.raises(InputError):
            Pipeline.from_json(wrong)


def test_pipelines_compare_by_what_they_do():
    assert Pipeline(STATES, (part("raw"),)) == Pipeline(STATES) != Pipeline(STATES, (Part("zstd"),))


def test_a_number_that_does_not_fit_is_named_with_its_codec():
    pipeline = Pipeline(ArraySpec("float32", 2), parse_codecs("a=cast:float16+zstd")["a"])
    for rows, reason in (
        ([[1.0, 65520.0]], r"codec cast\(dtype='float16'\): value 65520.0 at row 0, column 1 does not fit in float16; choose"),
        ([[np.inf, 1.0]], r"value inf at row 0, column 0 is not finite: what computed it in float32 or narrower overflowed"),
    ):
        with pytest.raises(InputError, match=reason):
            pipeline.encode(np.array(rows, np.float32))
