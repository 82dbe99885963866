"""Weights from int8 ONNX files: what codes, scales and zero points decode to, and which files are refused."""

import sys

import numpy as np
import pytest

from lateint.errors import DamagedCheckpoint, MissingExtra, ModelError
from lateint.loading.onnx_weights import read_state

pytest.importorskip("onnx", reason="onnx is not installed")

from onnx import TensorProto, helper, numpy_helper

from tests.support import onnx_files

TABLE = "embeddings.word_embeddings.weight"
MATRIX, BIAS = "encoder.layer.0.output.dense.weight", "encoder.layer.0.output.dense.bias"
CODES = "onnx::MatMul_1_quantized"
STEP, ZERO = "onnx::MatMul_1_scale", "onnx::MatMul_1_zero_point"


def state(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {TABLE: (7, 4), MATRIX: (3, 4), BIAS: (3,), "encoder.layer.0.output.LayerNorm.weight": (3,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("per_column", [False, True])
def test_tensors_are_codes_less_zero_points_times_scales_under_the_names_of_transformers(tmp_path, per_column):
    nodes, initialisers, decoded = onnx_files.graph_of(state(), per_column=per_column)
    initialisers[ZERO] = initialisers[ZERO] + np.int8(3)
    found = read_state(onnx_files.write(tmp_path / "model.onnx", nodes, initialisers))
    decoded[MATRIX] = (initialisers[CODES].astype(np.float32) - 3).T * np.reshape(initialisers[STEP], (-1, 1))
    assert list(found) == list(decoded)
    for name, wanted in decoded.items():
        assert np.allclose(found[name], wanted, rtol=1e-6), name
    error = np.abs(found[TABLE].numpy() - state()[TABLE]).max()
    assert 0 < error <= np.abs(state()[TABLE]).max() / 254 * 1.001
    assert initialisers[STEP].size == (3 if per_column else 1)


def test_a_matrix_with_a_name_of_its_own_keeps_it(tmp_path):
    three, decoded = onnx_files.parts("pooler.dense.weight", np.eye(3, 4, dtype=np.float32))
    given = ["x", "pooler.dense.weight_quantized", "x_zero", "pooler.dense.weight_zero_point"]
    node = helper.make_node("MatMulInteger", given, ["out"], name="/pooler/dense/Gemm_MatMul_quant")
    (found,) = read_state(onnx_files.write(tmp_path / "model.onnx", [node], three)).items()
    assert found[0] == "pooler.dense.weight" and np.array_equal(found[1], decoded.T)


def changed(nodes, initialisers, how):
    """A file with one fault. Returns: nodes and initialisers."""
    if isinstance(how, dict):
        merged = {name: how.get(name, values) for name, values in initialisers.items()}
        return nodes, {name: values for name, values in merged.items() if values is not None}
    return [*nodes, *how[0]], initialisers | (how[1] if len(how) > 1 else {})


def external():
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), BIAS)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def short():
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), BIAS)
    tensor.raw_data = tensor.raw_data[:-2]
    return tensor


def node(operator, *inputs, name="/some/module/Node", **options):
    return helper.make_node(operator, list(inputs), ["out"], name=name, **options)


TWICE = node("MatMulInteger", "x", "onnx::MatMul_9_quantized", name="/encoder/layer.0/output/dense/MatMul_quant")


FLOAT = np.ones((4, 3), np.float32)
FAULTS = {
    "another operator": (ModelError, ([node("LSTM", "x")],), r"unknown operator LSTM \(node '/some/module/Node'\)"),
    "another domain": (ModelError, ([node("Add", "x", domain="com.microsoft")],), r"unknown operator com\.microsoft\.Add"),
    "a float matrix": (ModelError, ([node("MatMul", "x", "m")], {"m": FLOAT}), r"reads m \[4, 3\] in float; expected int8"),
    "a float table": (ModelError, ([node("Gather", "m", "x")], {"m": FLOAT}), r"reads m \[4, 3\] in float; expected int8"),
    "a float matrix that is added": (ModelError, ([node("Add", "x", "m.bias")], {"m.bias": FLOAT}), "expected a vector"),
    "codes that are floats": (ModelError, {CODES: FLOAT}, "codes .4, 3. in float32"),
    "codes of three dimensions": (ModelError, {CODES: np.ones((4, 3, 1), np.int8)}, r"codes \[4, 3, 1\]"),
    "float16 scales": (ModelError, {STEP: np.float16(1)}, "scales in float16"),
    "zero points of another type": (ModelError, {ZERO: np.uint8(0)}, "zero points in uint8"),
    "no scale": (DamagedCheckpoint, {STEP: None}, f"without {STEP}"),
    "no zero point": (DamagedCheckpoint, {ZERO: None}, f"without {ZERO}"),
    "a scale that is not finite": (DamagedCheckpoint, {STEP: np.float32(np.nan)}, "scale holds nan; expected finite"),
    "an infinite scale": (DamagedCheckpoint, {STEP: np.float32(np.inf)}, "scale holds inf; expected finite"),
    "a negative scale": (DamagedCheckpoint, {STEP: np.float32(-1)}, "scale holds -1.0; expected finite"),
    "scales for other columns": (DamagedCheckpoint, {STEP: np.ones(2, np.float32)}, "2 scales and 1 zero points"),
    "a bias that is not finite": (DamagedCheckpoint, {BIAS: np.full(3, np.inf, np.float32)}, "not finite"),
    "a weight twice": (ModelError, ([TWICE], onnx_files.parts("onnx::MatMul_9", FLOAT)[0]), "gives the weight .* twice"),
    "weights in another file": (ModelError, {BIAS: external()}, "in another file"),
    "too few bytes": (DamagedCheckpoint, {BIAS: short()}, "cannot be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_decode_to_the_weights_of_a_bert_is_refused(tmp_path, fault):
    kind, how, reason = FAULTS[fault]
    nodes, initialisers, _ = onnx_files.graph_of(state())
    file = onnx_files.write(tmp_path / "model.onnx", *changed(nodes, initialisers, how))
    with pytest.raises(ModelError, match=reason) as caught:
        read_state(file)
    assert type(caught.value) is kind and str(file) in str(caught.value)


def test_a_matrix_whose_node_has_no_path_is_refused(tmp_path):
    nodes, initialisers, _ = onnx_files.graph_of(state())
    for one in nodes:
        one.name = ""
    with pytest.raises(ModelError, match=f"{CODES} is read by node ''"):
        read_state(onnx_files.write(tmp_path / "model.onnx", nodes, initialisers))


@pytest.mark.parametrize(("content", "reason"), [(b"not an onnx file", "cannot be read as ONNX"), (b"", "no weights")])
def test_what_is_no_onnx_file_is_damaged(tmp_path, content, reason):
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(DamagedCheckpoint, match=reason):
        read_state(file)
    with pytest.raises(DamagedCheckpoint, match="cannot be read as ONNX"):
        read_state(tmp_path / "none.onnx")


def test_without_onnx_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"onnx is not installed; run: pip install 'lateint\[weights\]'"):
        read_state(tmp_path / "model.onnx")
