"""Codec pipelines of a model's arrays, and a round trip through them in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lateint.errors import InputError
from lateint.methods.registry import Part, part
from lateint.model.model import Model
from lateint_store import ArraySpec, Pipeline, Ragged
from lateint_store.part import check_parts
from lateint_store.spec import Array


def pipelines(model: Model, codecs: Mapping[str, tuple[Part, ...]] | None = None) -> dict[str, Pipeline]:
    """Return the codec pipeline of each array that the model stores; `codecs` replaces those of the method by array name.

    Raises: InputError for an array that the model does not store; SpecError for codecs that do not fit.
    """
    if codecs is not None:
        check_parts(codecs)
    wide = model.backbone.config.vocab_size > 1 << 16  # ids do not fit into the uint16 of the presets
    ids = (part("cast", dtype="uint32" if wide else "uint16"),)
    chosen = {"token_ids": ids} | dict(model.method.codecs) | ({"token_ids": ids} if wide else {})
    chosen |= dict(codecs or {})
    if extra := sorted(set(codecs or {}) - set(model.arrays)):
        raise InputError(f"codecs for array {extra[0]!r}, but method {model.method.name!r} stores {', '.join(model.arrays)}")
    return {name: Pipeline(array_spec(model, name), chosen.get(name, ())) for name in model.arrays}


def array_spec(model: Model, name: str) -> ArraySpec:
    """Return dtype and shape of an array that the model computes."""
    if name == "token_ids":
        return ArraySpec("int64", None)
    if name == "states" and model.quantizer is not None:
        return ArraySpec("uint8", model.width(name))
    return ArraySpec("float32", model.width(name), rows="one" if name == "vector" else "tokens")


def round_trip(entries: Sequence[Mapping[str, Array]], through: Mapping[str, Pipeline]) -> dict[str, Ragged]:
    """Encode and decode entries in memory, as writing them to a store and reading them back would."""
    decoded = {}
    for name, pipeline in through.items():
        rows = [1 if pipeline.spec.rows == "one" else len(entry[name]) for entry in entries]
        encoded = [pipeline.pack(data) for data in pipeline.array_bytes([entry[name] for entry in entries])]
        decoded[name] = pipeline.decode_many(encoded, rows)
    return decoded
