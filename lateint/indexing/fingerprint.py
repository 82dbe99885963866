"""What a stored array depends on, as digests: a store and a model belong together if these are equal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from torch import Tensor

from lateint.model.digests import digest_json, digest_tensors
from lateint.model.document import Document
from lateint.model.model import Model

PROBES = (
    "The quick brown fox jumps over 13 lazy dogs.",
    "naïve café №5 — 東京タワー, Ελλάδα, привет! 🦊",
    "def f(x):\n\treturn x**2  # e\u0301 vs \u00e9",
)
"""Fixed texts: with the vocabulary, their token ids tell two tokenizers apart, whatever their files are called."""


def fingerprint(model: Model) -> dict[str, str]:
    """Every fact that a stored array depends on, each as text or digest; another head changes nothing here.

    Layout and lengths, vocabulary and tokenizer behaviour on fixed texts, precision, pools, and for each array the weights
    that it passed through: embeddings and layers up to its own depth, the compressor or the map of vectors, and what a
    head does before it stores states.
    """
    method = model.method
    layout = {"document": method.to_json()["document"]}
    if method.document.positions == "offset":
        layout["start"] = method.query.max_length
    tokens = model.document_tokens([Document(str(i), text) for i, text in enumerate(PROBES)])
    facts = {
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "layout": digest_json(layout),
        "tokenizer": digest_json([tokens, model.texts.pad, model.texts.raw.get_vocab()]),
    }
    with ThreadPoolExecutor() as pool:  # hashing leaves Python's lock alone
        digests = pool.map(digest_tensors, [_passed(model, array) for array in model.arrays])
        facts |= {f"{array}.weights": digest for array, digest in zip(model.arrays, digests, strict=True)}
    if "states" in model.arrays:
        facts |= {"states.layers": str(method.depth), "states.pool": str(method.pool)}
    if "vector" in model.arrays:
        facts["vector.pool"] = str(method.vector)
    if "vector" in model.arrays and method.vector_map is not None:
        facts["vector.map"] = str(method.vector_map)
    return facts


def _passed(model: Model, array: str) -> dict[str, Tensor]:
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
    """Digest of what may change without making stored arrays stale: the head and everything above the split."""
    stored = {tensor.data_ptr() for array in model.arrays for tensor in _passed(model, array).values()}
    return digest_tensors({name: t for name, t in model.state_dict().items() if t.data_ptr() not in stored})
