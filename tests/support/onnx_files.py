"""Write int8 ONNX files as onnxruntime's dynamic quantisation does: codes, scales and zero points under the same names."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save


def parts(name, values, *, per_column=False):
    """The three initialisers of a quantised matrix [rows, columns], and what they decode to."""
    axis = 0 if per_column else None
    scale = (np.abs(values).max(axis=axis) / 127).astype(np.float32)
    codes = np.clip(np.round(values / scale), -127, 127).astype(np.int8)
    zero = np.zeros(scale.shape, np.int8)
    return {name + "_quantized": codes, name + "_scale": scale, name + "_zero_point": zero}, codes.astype(np.float32) * scale


def is_table(name):
    return "embeddings." in name and name.endswith("_embeddings.weight")


def graph_of(state, *, per_column=False):
    """Nodes and initialisers of a BERT's weights by name, and the weights that they decode to."""
    nodes, initialisers, decoded, make = [], {}, {}, helper.make_node
    for number, (name, values) in enumerate(state.items()):
        path = "/" + "/".join(name.split(".")[:-1]).replace("layer/", "layer.")
        if is_table(name):
            three, decoded[name] = parts(name, values)
            nodes.append(make("Gather", [f"{name}_quantized", "input_ids"], [f"{name}_rows"], name=path + "/Gather"))
            given = [f"{name}_rows", f"{name}_scale", f"{name}_zero_point"]
            nodes.append(make("DequantizeLinear", given, [f"{name}_out"], name=path + "/DequantizeLinear"))
        elif values.ndim == 2:
            base = f"onnx::MatMul_{number}"
            three, turned = parts(base, np.ascontiguousarray(values.T), per_column=per_column)
            decoded[name] = turned.T
            given = ["x_quantized_rows", f"{base}_quantized", "x_zero", f"{base}_zero_point"]
            nodes.append(make("MatMulInteger", given, [f"{base}_out"], name=path + "/MatMul_quant"))
            nodes.append(make("Mul", ["x_step", f"{base}_scale"], [f"{base}_step"], name=path + "/MatMul_scales_mul"))
        else:
            three, decoded[name] = {name: values}, values
            operator, inputs = ("Add", [name, "x"]) if name.endswith("bias") else ("Mul", ["x", name])
            nodes.append(make(operator, inputs, [f"{name}_out"], name=f"{path}/{operator}"))
        initialisers |= three
    return nodes, initialisers, decoded


def write(file, nodes, initialisers):
    """Write an ONNX file. `initialisers`: arrays by name, or tensors that are ready."""
    ready = [v if isinstance(v, TensorProto) else numpy_helper.from_array(np.asarray(v), k) for k, v in initialisers.items()]
    save(helper.make_model(helper.make_graph(nodes, "bert", [], [], ready)), str(file))
    return file
