"""Fingerprints: the facts that stored arrays depend on, as text or digest. A store and a model match if these are equal."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from torch import Tensor

from lateint.backbone.tokenizer import PROBES
from lateint.model.digests import digest_json, digest_tensors
from lateint.model.document import Document
from lateint.model.model import Model

ADDED = frozenset({"token_rules", "states.configuration", "states.compressor", "vector.configuration", "precision"})
"""Facts that stores of earlier versions, or of float32, do not hold. Such a store is judged by the facts that it holds."""


def changed(recorded: Mapping[str, object], computed: Mapping[str, str]) -> list[str]:
    """Return the names of the computed facts that differ from those of a store, sorted."""
    return sorted(
        name for name, fact in computed.items() if recorded.get(name) != fact and not (name in ADDED and name not in recorded)
    )


def fingerprint(model: Model) -> dict[str, str]:
    """Return every fact that stored arrays depend on, as text or digest. It does not depend on the head's own weights.

    The facts: layout and lengths, the tokenizer's rules and vocabulary and its token ids of fixed texts, dtype, pools, and
    for each array the configuration of the layers and the digest of the weights that compute it: embeddings and layers up
    to its depth, the compressor or vector map, and weights of the head that are applied before states are stored.
    """
    method = model.method
    layout = {"document": method.to_json()["document"]}
    if method.document.positions == "offset":
        layout["start"] = method.query.max_length
    tokens = model.document_tokens([Document(str(i), text) for i, text in enumerate(PROBES)])
    facts = {
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "layout": digest_json(layout),
        "token_rules": model.texts.rules,
        "tokenizer": digest_json([tokens, model.texts.pad, model.texts.raw.get_vocab()]),
    }
    if model.document_precision != "float32":
        facts["precision"] = model.document_precision
    with ThreadPoolExecutor() as pool:  # hashing releases the GIL
        digests = pool.map(digest_tensors, [_weights_of(model, array) for array in model.arrays])
        facts |= {f"{array}.weights": digest for array, digest in zip(model.arrays, digests, strict=True)}
    configuration = digest_json(model.backbone.configuration())
    facts |= {f"{array}.configuration": configuration for array in model.arrays if array != "token_ids"}
    if "states" in model.arrays and method.compressor is not None:
        facts["states.compressor"] = str(method.compressor)
    if "states" in model.arrays:
        facts |= {"states.layers": str(method.depth), "states.pool": str(method.pool)}
    if "vector" in model.arrays:
        facts["vector.pool"] = str(method.vector)
    if "vector" in model.arrays and method.vector_map is not None:
        facts["vector.map"] = str(method.vector_map)
    return facts


def _weights_of(model: Model, array: str) -> dict[str, Tensor]:
    if array == "token_ids":
        return {}
    depth = model.method.vector_depth if array == "vector" else model.method.depth
    tensors = dict(model.backbone.tensors(depth))
    if array == "states" and model.compressor is not None:
        tensors |= {f"compressor.{name}": tensor for name, tensor in model.compressor.state_dict().items()}
    if array == "states":
        tensors |= {f"head.{name}": tensor for name, tensor in model.head.stored_tensors().items()}
    if array == "vector" and model.vector_map is not None:
        tensors |= {f"vector_map.{name}": tensor for name, tensor in model.vector_map.state_dict().items()}
    return tensors


def head_digest(model: Model) -> str:
    """Return the digest of the weights that stored arrays do not depend on: the head and everything above the split."""
    stored = {tensor.data_ptr() for array in model.arrays for tensor in _weights_of(model, array).values()}
    return digest_tensors({name: t for name, t in model.state_dict().items() if t.data_ptr() not in stored})
