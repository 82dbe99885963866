"""The contract of every codec. Codecs are found by name; a new one needs a line in `codec_cases.py` and a golden file."""

import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from hypothesis.extra import numpy as arrays

from lateint_store import ArraySpec, Part, Pipeline, known_codecs
from lateint_store.codecs.codec import codec_class, codec_part, make_codec
from lateint_store.errors import CodecError, InputError, SpecError
from tests.store.codecs.write_golden import FOLDER
from tests.support import codec_cases as cases
from tests.support.kernel_checks import kernels

CASES = [
    pytest.param(chosen, spec, id=f"{chosen}-{spec.dtype}-{spec.width}-{spec.rows}")
    for name in known_codecs()
    for chosen, specs in cases.settings(name)
    for spec in specs
]


def check_round_trip(pipeline, array, rows):
    found = pipeline.decode(pipeline.encode(array), rows)
    assert found.shape == array.shape and found.dtype == pipeline.dtype_out and found.flags.c_contiguous
    if pipeline.lossless:
        np.testing.assert_array_equal(found, array)
    wide = pipeline.spec.as_matrix(array).astype(np.float64)
    errors = np.abs(found.astype(np.float64).reshape(wide.shape) - wide)
    assert (errors <= pipeline.bound(array)).all(), float((errors - pipeline.bound(array)).max())


@pytest.mark.parametrize(("chosen", "spec"), CASES)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_round_trip_within_the_bound(chosen, spec, rows):
    check_round_trip(Pipeline(spec, (chosen,)), cases.example(spec, rows, seed=rows), rows)


@pytest.mark.parametrize(("chosen", "spec"), CASES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=strategies.data())
def test_any_finite_values_come_back_within_the_bound_or_are_refused(chosen, spec, data):
    rows = data.draw(strategies.integers(0, 4))
    words = np.dtype(f"u{np.dtype(spec.dtype).itemsize}") if spec.is_float else np.dtype(spec.dtype)
    elements = strategies.integers(int(np.iinfo(words).min), int(np.iinfo(words).max))
    array = data.draw(arrays.arrays(words, spec.shape(rows), elements=elements)).view(spec.dtype)
    if spec.is_float:
        array = np.where(np.isfinite(array), array, np.zeros(1, spec.dtype))
    pipeline = Pipeline(spec, (chosen,))
    try:
        pipeline.encode(array)
    except InputError as error:
        assert "value" in str(error)
        return
    check_round_trip(pipeline, array, rows)


@pytest.mark.parametrize(("chosen", "spec"), CASES)
def test_resolve_tells_what_encode_makes(chosen, spec):
    codec = make_codec(chosen)
    matrix = spec.as_matrix(cases.example(spec, 4))
    if codec.kind == "array":
        made = codec.encode(matrix)
        assert (str(made.dtype), made.shape[1]) == (codec.resolve(spec).dtype, codec.resolve(spec).columns)
        assert str(codec.decode(made, spec).dtype) == codec.decoded(spec).dtype
        np.testing.assert_array_equal(codec.encode(matrix[:1]), made[:1], "a row's code depends on that row only")
    elif codec.kind == "layout":
        assert len(codec.encode(matrix)) == codec.nbytes(spec, len(matrix))
    else:
        for data in (b"", b"\0" * 5000, np.random.default_rng(0).bytes(5000)):
            assert len(codec.encode(data)) <= codec.encoded_limit(len(data))
            assert bytes(codec.decode(codec.encode(data), len(data))) == data


@pytest.mark.parametrize(("chosen", "spec"), CASES)
def test_json_gives_an_equal_codec_with_every_setting_written_out(chosen, spec):
    codec = make_codec(chosen)
    full = codec_part(codec)
    assert make_codec(Part.from_json(json.loads(json.dumps(full.to_json())))) == codec
    pipeline = Pipeline(spec, (chosen,))
    assert Pipeline.from_json(json.loads(json.dumps(pipeline.to_json()))) == pipeline


@pytest.mark.parametrize(("chosen", "spec"), CASES)
def test_many_documents_decode_as_each_does(chosen, spec):
    pipeline, counts = Pipeline(spec, (chosen,)), [3, 0, 1, 4]
    documents = [cases.example(spec, rows, seed=rows) for rows in counts]
    encoded = [pipeline.encode(document) for document in documents]
    assert [pipeline.pack(data) for data in pipeline.array_bytes(documents)] == encoded
    for found, data, rows in zip(pipeline.decode_many(encoded, counts), encoded, counts, strict=True):
        np.testing.assert_array_equal(found, pipeline.decode(data, rows))


@pytest.mark.parametrize("name", known_codecs())
@pytest.mark.parametrize("used", [False, True], ids=["numpy", "kernels"])
def test_golden_bytes_are_decoded_forever(name, used):
    golden = json.loads((FOLDER / f"{name}.json").read_text())
    assert len(golden) == sum(len(specs) for _, specs in cases.settings(name))
    with kernels(used):
        check_golden(name, golden)


def check_golden(name, golden):
    for case in golden:
        pipeline = Pipeline.from_json(case["pipeline"])
        decoded = pipeline.decode(bytes.fromhex(case["encoded"]), case["rows"])
        assert (decoded.tobytes().hex(), str(decoded.dtype)) == (case["decoded"], case["dtype"])
        array = np.frombuffer(bytes.fromhex(case["input"]), pipeline.spec.dtype).reshape(pipeline.spec.shape(case["rows"]))
        if name != "zstd":
            assert pipeline.encode(array).hex() == case["encoded"], "encoding may only change with zstd's version"


@pytest.mark.parametrize(("chosen", "spec"), CASES)
def test_bytes_of_another_length_are_a_codec_error(chosen, spec):
    pipeline = Pipeline(spec, (chosen,))
    encoded = pipeline.encode(cases.example(spec, 3))
    for wrong in (encoded[:-1], encoded + b"\0", b"", encoded[1:]):
        with pytest.raises(CodecError):
            pipeline.decode(wrong, 3)
    if spec.rows == "tokens":
        with pytest.raises(CodecError):
            pipeline.decode(encoded, 4)


@pytest.mark.parametrize(("chosen", "spec"), CASES)
def test_altered_bytes_give_an_array_of_the_right_shape_or_a_codec_error(chosen, spec):
    pipeline, rng = Pipeline(spec, (chosen,)), np.random.default_rng(5)
    encoded = pipeline.encode(cases.example(spec, 3))
    checked = chosen.name == "checksum" or dict(chosen.settings).get("checksum", False)
    for _ in range(60):
        altered = bytearray(encoded)
        altered[rng.integers(0, len(altered))] ^= 1 << rng.integers(0, 8)
        try:
            found = pipeline.decode(bytes(altered), 3)
        except CodecError:
            continue
        assert found.shape == spec.shape(3) and not checked


@pytest.mark.parametrize("name", known_codecs())
def test_a_codec_is_named_after_its_module_and_documents_its_error(name):
    cls = codec_class(name)
    assert cls.name == name and cls.__module__.endswith(f".{name}") and "Error:" in cls.__doc__
    assert cls.kind in ("array", "layout", "bytes")


def test_unknown_names_and_settings_list_the_known_ones():
    with pytest.raises(SpecError, match="no codec 'gzip'; known codecs: cast, checksum, "):
        Pipeline(ArraySpec("float32", 4), (Part("gzip"),))
    with pytest.raises(SpecError, match="'zstd' has no setting 'speed'; its settings: level, checksum"):
        make_codec(Part("zstd", (("speed", 1),)))
    with pytest.raises(SpecError, match="needs its settings dtype"):
        make_codec(Part("cast"))
    for wrong in (("level", 0), ("level", 1.0), ("level", True), ("checksum", 1)):
        with pytest.raises(SpecError, match=wrong[0]):
            make_codec(Part("zstd", (wrong,)))
