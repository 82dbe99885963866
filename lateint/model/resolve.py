"""Resolve a method for one encoder: depths as numbers, segments as its tokenizer has them; refuse what does not fit."""

from __future__ import annotations

from dataclasses import replace

from lateint.backbone.base import Backbone, check_positions
from lateint.backbone.split import document_start
from lateint.backbone.tokenizer import TextEncoder
from lateint.compressors.base import Compressor, Quantizer
from lateint.errors import InputError
from lateint.heads.base import Head
from lateint.methods.method import Method
from lateint.methods.registry import find, names
from lateint_store.arguments import as_count


def resolve(method: Method, backbone: Backbone, texts: TextEncoder) -> Method:
    """Return the method with numbers for depths and segments.

    Raises: InputError for depths or segments that the encoder does not have, and for lengths beyond its positions.
    """
    method = method.resolve(len(backbone.layers))
    if find("heads", method.head.name).vectors_only:
        # Nothing but the vector is stored, so L is its depth.
        method = replace(method, query_layers=method.offline_layers, vector_layers=method.offline_layers)
    for side in ("document", "query"):
        layout = getattr(method, side)
        layout = replace(layout, max_length=as_count(layout.max_length, f"{side} max_length"))
        texts.room(layout)
        if side == "document" and not layout.attend_to_fill:
            raise InputError(
                "attend_to_fill=False in the layout of documents: states that no token attends to are not stored; "
                "leave `fill` empty, or set it in the layout of queries"
            )
        segment = texts.segment(layout) if backbone.segments else 0
        _check_segment(method, backbone, side, segment)
        method = replace(method, **{side: replace(layout, segment=segment)})
    if not backbone.rotary:
        check_positions(backbone, "query", method.query.max_length)
        start = document_start(method.document, method.query, method.query.max_length)
        check_positions(backbone, "document", start + method.document.max_length)
    return method


def _check_segment(method: Method, backbone: Backbone, side: str, segment: int) -> None:
    """Refuse a segment without an embedding in this encoder. Raises: InputError."""
    known = int(getattr(backbone.config, "type_vocab_size", 1))
    if not 0 <= segment < known and backbone.segments:
        raise InputError(
            f"method {method.name!r} gives the {side} segment {segment}, but this encoder has {known} segment embeddings; "
            "set another `segment` in the method's layout, or take another encoder"
        )


def check_vector(method: Method, head: Head) -> None:
    """Refuse a head that reads vectors, under a method that has none. Raises: InputError."""
    if "vector" in head.reads and method.vector is None:
        raise InputError(
            f"head {method.head} reads 'vector', but method {method.name!r} has no vectors; set `vector` in the method to a "
            "pool such as 'mean'"
        )


def check_context(method: Method, compressor: Compressor | None, head: Head, vector_width: int | None) -> None:
    """Refuse codes relative to vectors where the head does not read both, or vectors have another width. Raises: InputError."""
    if not isinstance(compressor, Quantizer) or compressor.vector_width is None:
        return
    name = str(method.compressor)
    if not {"states", "vector"} <= set(head.reads) or head.stored_width is not None:
        raise InputError(
            f"compressor {name} codes tokens relative to their document's vector, and the head reads "
            f"{', '.join(head.reads)}; use head 'evidence', or compressor 'word_residual'"
        )
    if vector_width != compressor.vector_width:
        raise InputError(
            f"compressor {name} has vector_width={compressor.vector_width}, but the method's vectors have "
            f"{vector_width} numbers; set `vector_width` to that"
        )


def check_side(method: Method, compressor: Compressor | None, head: Head) -> None:
    """Refuse side information that the head cannot recompute, and token codes after a pool that mixes tokens.

    Raises: InputError.
    """
    name = str(method.compressor)
    if compressor is None:
        return
    if compressor.needs_tokens and not find("pools", method.pool.name).keeps_tokens:
        keep = " or ".join(name for name in names("pools") if find("pools", name).keeps_tokens)
        raise InputError(f"compressor {name} stores token ids, but pool {method.pool} mixes tokens; use {keep}")
    if not compressor.needs_side:
        return
    if "token_ids" not in head.reads:
        raise InputError(
            f"compressor {name} needs the token ids of documents, which head {method.head.name!r} does not read; "
            "use it below 'joint_layers'"
        )
    if method.pool.name != "all_tokens":
        raise InputError(f"compressor {name} needs every token, but pool {method.pool} drops some; use 'all_tokens'")
