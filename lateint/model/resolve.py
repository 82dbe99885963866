"""A method settled for one encoder: depths as numbers, segments as its tokenizer has them, and a refusal of what cannot fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lateint.backbone.base import Backbone, check_positions
from lateint.backbone.split import document_start
from lateint.backbone.tokenizer import TextEncoder
from lateint.errors import InputError
from lateint.methods.method import Method
from lateint.methods.registry import find, names


def resolve(method: Method, backbone: Backbone, texts: TextEncoder) -> Method:
    """The method with numbers for depths and segments.

    Raises: InputError for depths or segments that the encoder does not have, and texts beyond its positions.
    """
    method = method.resolve(len(backbone.layers))
    if getattr(find("heads", method.head.name), "reads", ()) == ("vector",):
        # L is the depth of the vector: nothing else is stored.
        method = replace(method, query_layers=method.offline_layers, vector_layers=method.offline_layers)
    for side in ("document", "query"):
        layout = getattr(method, side)
        segment = texts.segment(layout) if backbone.segments else 0
        _check_segment(method, backbone, side, segment)
        method = replace(method, **{side: replace(layout, segment=segment)})
    if not backbone.rotary:
        start = document_start(method.document, method.query, method.query.max_length)
        check_positions(backbone, start + method.document.max_length)
    return method


def _check_segment(method: Method, backbone: Backbone, side: str, segment: int) -> None:
    """Refuse a segment that the encoder has no embedding for. Raises: InputError."""
    known = int(getattr(backbone.config, "type_vocab_size", 1))
    if segment >= known and backbone.segments:
        raise InputError(
            f"method {method.name!r} gives the {side} segment {segment}, but this encoder has {known} segment embeddings; "
            "set another `segment` in the method's layout, or take another encoder"
        )


def check_vector(method: Method, head: Any) -> None:
    """Refuse a head that reads vectors of a method that makes none. Raises: InputError."""
    if "vector" in head.reads and method.vector is None:
        raise InputError(
            f"head {method.head} reads 'vector', but method {method.name!r} has no vectors; set `vector` in the method to a "
            "pool such as 'mean'"
        )


def check_side(method: Method, compressor: Any, head: Any) -> None:
    """Refuse side information that the head could not compute again, and codes of word pieces that a pool mixes.

    Raises: InputError.
    """
    name = str(method.compressor)
    if getattr(compressor, "needs_words", False) and not find("pools", method.pool.name).keeps_tokens:
        keep = " or ".join(name for name in names("pools") if find("pools", name).keeps_tokens)
        raise InputError(f"compressor {name} stores word pieces, which pool {method.pool} mixes; use {keep}")
    if compressor is None or not compressor.needs_side:
        return
    if "token_ids" not in head.reads:
        raise InputError(
            f"compressor {name} needs the token ids of documents, which head {method.head.name!r} does not read; "
            "use it below 'joint_layers'"
        )
    if method.pool.name != "all_tokens":
        raise InputError(f"compressor {name} needs every token, but pool {method.pool} drops some; use 'all_tokens'")
