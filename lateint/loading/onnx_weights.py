"""Read the weights of a BERT-like encoder from an ONNX file with dynamic int8 quantisation, as written by onnxruntime.

The file holds every matrix as int8 codes with scales and zero points: w = (code - zero point) · scale. Its graph quantises
activations as well; the tensors here run in float32, so scores differ from the graph's by what that costs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lateint.errors import DamagedCheckpoint, MissingExtra, ModelError

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

Floats = NDArray[np.float32]

CODES, SCALE, ZERO = "_quantized", "_scale", "_zero_point"  # suffixes of a quantised weight's three initialisers
_KNOWN = """Add Cast Concat Constant ConstantOfShape DequantizeLinear Div DynamicQuantizeLinear Equal Erf Expand Gather MatMul
MatMulInteger Mul Pow ReduceMean Reshape Shape Slice Softmax Sqrt Sub Tanh Transpose Unsqueeze Where"""
_OPERATORS = frozenset(_KNOWN.split())
"""Operators of a quantised BERT. Any other may compute what transformers' BERT does not."""
_MATRIX, _TABLE = ("MatMulInteger", 1), ("Gather", 0)  # (operator, input) that reads codes
_VECTORS = {("Add", 0), ("Add", 1), ("Mul", 1)}  # that read biases, norms and scales
_OTHERS = {("MatMulInteger", 3), ("DequantizeLinear", 1), ("DequantizeLinear", 2)}  # that read scales and zero points


def read_state(file: Path) -> dict[str, Tensor]:
    """Return the weights of an int8 ONNX file in float32, under the names that transformers' BERT gives them.

    A matrix multiplication is stored as [in, out], with one scale or one per column; its name is that of its node.
    Embedding tables have one scale. Biases and norms are stored in float32 under their own names.
    Raises: MissingExtra without the package onnx; ModelError for unknown operators and for float or foreign weights;
    DamagedCheckpoint for a file that cannot be read, and for codes without valid scales. Cost: 1 s for 33 million weights.
    """
    graph = _read_graph(file)
    held = {tensor.name: tensor for tensor in graph.initializer}
    names = dict(_names(file, graph, held))
    state: dict[str, Tensor] = {}
    for name, (key, place) in names.items():
        if key in state:
            raise ModelError(f"{file} gives the weight {key} twice, also as {name}; expected one initialiser for each")
        if place in _VECTORS:
            state[key] = torch.from_numpy(_vector(file, held[name]))
            continue
        weights = _dequantised(file, name.removesuffix(CODES), held, per_column=place == _MATRIX)
        state[key] = torch.from_numpy(np.ascontiguousarray(weights.T if place == _MATRIX else weights))
    if not state:
        raise DamagedCheckpoint(f"{file} holds no weights; download it again")
    return state


def _read_graph(file: Path) -> GraphProto:
    """Parse a file, and refuse operators that no quantised BERT has."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise MissingExtra("onnx", "weights") from error
    try:
        graph = onnx.load(str(file), load_external_data=False).graph
    except (OSError, DecodeError) as error:
        raise DamagedCheckpoint(f"{file} cannot be read as ONNX: {error}; download it again") from error
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in _OPERATORS:
            operator = f"{node.domain}.{node.op_type}".lstrip(".")
            raise ModelError(
                f"{file} has the unknown operator {operator} (node {node.name!r}); expected the graph of a BERT encoder with "
                f"int8 weights, of {', '.join(sorted(_OPERATORS))}"
            )
    return graph


Place = tuple[str, int]


def _names(file: Path, graph: GraphProto, held: dict[str, TensorProto]) -> Iterator[tuple[str, tuple[str, Place]]]:
    """Yield each initialiser that is a weight: its name in the file, then transformers' name and where it is read."""
    for node in graph.node:
        for number, name in enumerate(node.input):
            place = (node.op_type, number)
            if name not in held or place in _OTHERS:
                continue
            if place in (_MATRIX, _TABLE) and name.endswith(CODES):
                yield name, (_key(file, node, name) if place == _MATRIX else name.removesuffix(CODES), place)
            elif place in _VECTORS and name.endswith((".weight", ".bias")):
                yield name, (name, place)
            elif not (place in _VECTORS and name.endswith(SCALE)):
                tensor = held[name]
                raise ModelError(
                    f"{file}: node {node.name!r} ({node.op_type}) reads {name} {list(tensor.dims)} in {_dtype(tensor)}; "
                    "expected int8 codes with a scale and a zero point, or a bias or norm in float32"
                )


def _key(file: Path, node: NodeProto, name: str) -> str:
    """Return the name of a matrix: its own, or for the exporter's running numbers the path of the module that uses it."""
    base = name.removesuffix(CODES)
    if not base.startswith("onnx::"):
        return base
    path = node.name.strip("/").split("/")[:-1]
    if not path:
        raise ModelError(f"{file}: {name} is read by node {node.name!r}; expected a node name with the module's path")
    return ".".join(path) + ".weight"


def _dequantised(file: Path, base: str, held: dict[str, TensorProto], per_column: bool) -> Floats:
    """Return (codes - zero points) · scales [rows, columns] float32. Raises: DamagedCheckpoint, ModelError."""
    if missing := [base + suffix for suffix in (SCALE, ZERO) if base + suffix not in held]:
        raise DamagedCheckpoint(f"{file} holds {base}{CODES} without {missing[0]}; download it again")
    codes, scale, zero = (_array(file, held[base + suffix]) for suffix in (CODES, SCALE, ZERO))
    if codes.dtype not in (np.int8, np.uint8) or zero.dtype != codes.dtype or scale.dtype != np.float32 or codes.ndim != 2:
        raise ModelError(
            f"{file}: {base} has codes {list(codes.shape)} in {codes.dtype}, scales in {scale.dtype} and zero points in "
            f"{zero.dtype}; expected a matrix of int8 or uint8 codes, zero points of their type, and float32 scales"
        )
    allowed = (1, codes.shape[1]) if per_column else (1,)
    if scale.size != zero.size or scale.size not in allowed:
        raise DamagedCheckpoint(
            f"{file}: {base} has {scale.size} scales and {zero.size} zero points for codes {list(codes.shape)}; "
            f"expected {' or '.join(map(str, allowed))} of each"
        )
    steps = scale.astype(np.float32).reshape(-1)
    if len(wrong := steps[~(np.isfinite(steps) & (steps >= 0))]):
        raise DamagedCheckpoint(f"{file}: {base}{SCALE} holds {wrong[0]}; expected finite scales of 0 or more")
    return (codes.astype(np.float32) - zero.astype(np.float32).reshape(-1)) * steps


def _vector(file: Path, tensor: TensorProto) -> Floats:
    """Return a bias or norm [n] float32. Raises: ModelError, DamagedCheckpoint."""
    values = _array(file, tensor)
    if values.dtype != np.float32 or values.ndim != 1:
        raise ModelError(
            f"{file} holds {tensor.name} {list(values.shape)} in {values.dtype}; expected a vector in float32, or int8 codes"
        )
    vector: Floats = values.astype(np.float32)  # a copy: arrays of onnx may be read-only
    if not np.isfinite(vector).all():
        raise DamagedCheckpoint(f"{file}: {tensor.name} holds numbers that are not finite; download it again")
    return vector


def _array(file: Path, tensor: TensorProto) -> NDArray[np.generic]:
    """Return the values of an initialiser. Raises: ModelError, DamagedCheckpoint."""
    from onnx import numpy_helper

    if tensor.data_location == tensor.EXTERNAL:
        raise ModelError(f"{file} keeps {tensor.name} in another file; expected a file that holds its own weights")
    try:
        values: NDArray[np.generic] = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedCheckpoint(f"{file}: {tensor.name} cannot be read: {error}; download it again") from error
    return values


def _dtype(tensor: TensorProto) -> str:
    from onnx import TensorProto as Types

    return str(Types.DataType.Name(tensor.data_type)).lower()
