"""Check that a store and a model match: compare recorded facts and shapes, then recompute some states (the canary)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from lateint.backbone.precision import way_out
from lateint.backbone.tokenizer import PROBES
from lateint.errors import ModelError, StoreMismatch
from lateint.indexing.chunks import COUNT, COUNT_SPEC
from lateint.indexing.codecs import array_spec
from lateint.indexing.fingerprint import changed, fingerprint, head_digest
from lateint.loading.retired import maker_of
from lateint.model.digests import digest_json
from lateint.model.document import Document
from lateint.model.model import Model
from lateint_store import ArraySpec, Store
from lateint_store.spec import Array

LONG = ".long"  # suffix of the canary of one text at full length, which stores of earlier versions do not hold
_CANARY_ROWS, _CANARY_NUMBERS = 8, 4
_TOKENS_OF_PROBES = 12  # in any tokenizer at least
_TOLERANCE = {"float32": 1e-4, "float64": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
"""By dtype of the weights, or precision of the layers: largest allowed difference of a canary number, relative to the
largest number of its array. Other thread counts, BLAS libraries and batch shapes change the numbers slightly."""


class ModelRecord(TypedDict):
    """Facts that a store records about the model that fills it, JSON-able."""

    model: dict[str, object]
    fingerprint: dict[str, str]
    head: dict[str, str]
    canary: dict[str, list[float]]


def canary(model: Model) -> dict[str, list[float]]:
    """Compute a few numbers per array, before any codec: fixed random projections of some rows of fixed texts.

    By array, the first rows of short texts; by array with `.long`, rows from all over one text of the layout's full
    length, where windows of attention and late positions count. If a quantiser stores codes, the directions before
    quantisation are used: a rounding difference can change a code.
    Cost: encodes one document of full length.
    """
    numbers: dict[str, list[float]] = {}
    for entry in model.encode(_tokens(model, PROBES), exact=True):
        for name, array in entry.items():
            numbers.setdefault(name, []).extend(_project(np.atleast_2d(array)[:_CANARY_ROWS]))
    length = min(model.method.document.max_length, model.backbone.max_positions)
    (tokens,) = _tokens(model, [" ".join(PROBES * (1 + length // _TOKENS_OF_PROBES))])
    for name, array in model.encode([tokens[:length]], exact=True)[0].items():
        matrix = np.atleast_2d(array)
        numbers[name + LONG] = _project(matrix[np.linspace(0, len(matrix) - 1, _CANARY_ROWS).astype(int)])
    return numbers


def _tokens(model: Model, texts: Sequence[str]) -> list[list[int]]:
    return model.document_tokens([Document(str(i), text) for i, text in enumerate(texts)])


def _project(rows: Array) -> list[float]:
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(rows.shape[1], _CANARY_NUMBERS))
    projected = rows.astype(np.float64) @ signs / np.sqrt(rows.shape[1])
    return [round(float(x), 6) for x in projected.ravel()]


def describe(model: Model) -> ModelRecord:
    """Return the facts that a new store records of the model that fills it.

    Raises: ModelError if fixed texts already give numbers that are not finite.
    """
    numbers, dtype = canary(model), next(model.parameters()).dtype
    for name, values in numbers.items():
        if wrong := [value for value in values if not np.isfinite(value)]:
            raise ModelError(
                f"{model.name} computes {name.removesuffix(LONG)} of {wrong[0]} for a fixed text in {dtype}, before any codec: "
                f"{way_out(dtype)}"
            )
    return {
        "model": {"name": model.name, "checkpoint": model.checkpoint, "method": model.method.to_json()},
        "fingerprint": fingerprint(model),
        "head": {"name": model.method.head.name, "digest": head_digest(model)},
        "canary": numbers,
    }


def check_model(model: Model, store: Store, arrays: Sequence[str] | None = None) -> None:
    """Reject a store whose arrays this model would not produce. Another head over the same arrays is allowed.

    Only facts of `arrays` are compared, by default of those that the model's head reads: a `cosine` model may read the
    vectors of a store that also has states. Shapes and types of these arrays are compared as well, so that no kernel is
    given rows of another width.
    Raises: StoreMismatch naming both models, both digests and the facts that differ.
    """
    reads = tuple(model.head.reads if arrays is None else arrays)
    recorded, computed = dict(store.manifest.fingerprint), fingerprint(model)
    maker = store.manifest.model.get("name", "an unknown model")
    made = f"{store.path} was made by {maker} [{digest_json(recorded)[:12]}]"
    if missing := [name for name in reads if f"{name}.weights" not in recorded]:
        raise StoreMismatch(
            f"{made} and holds no array {missing[0]!r}, which head {model.method.head.name!r} of {model.name} "
            f"[{digest_json(computed)[:12]}] reads; index again with {model.name}, or load the store's model"
        )
    read = tuple(f"{name}." for name in reads)
    checked = {name: fact for name, fact in computed.items() if "." not in name or name.startswith(read)}
    if differing := changed(recorded, checked):
        way_back = maker_of(recorded) or "load the store's model"
        raise StoreMismatch(
            f"{made}, not by {model.name} [{digest_json(computed)[:12]}]: {', '.join(differing)} differ; "
            f"index again with {model.name}, or {way_back}"
        )
    _check_arrays(model, store, reads)
    _check_canary(model, store, reads)


def _check_arrays(model: Model, store: Store, reads: Sequence[str]) -> None:
    """Compare dtype, width and row kind of each array with those that the model computes. Raises: StoreMismatch."""
    expected = {name: array_spec(model, name) for name in reads}
    if COUNT in store.manifest.fingerprint:
        expected[COUNT] = COUNT_SPEC
    for name, wanted in expected.items():
        held = store.manifest.specs.get(name)
        if held is None or not _equal(held.spec, wanted):
            found = "no such array" if held is None else _shape(held.spec)
            raise StoreMismatch(
                f"{store.path}: its manifest says that {model.name} made it, but array {name!r} has another shape: expected "
                f"{_shape(wanted)}, found {found}; the store was altered: index again"
            )


def _equal(held: ArraySpec, wanted: ArraySpec) -> bool:
    """True if arrays have one shape; floats of any width are read alike."""
    same_type = held.is_float if wanted.is_float else held.dtype == wanted.dtype
    return same_type and (held.width, held.rows) == (wanted.width, wanted.rows)


def _shape(spec: ArraySpec) -> str:
    return f"{spec.dtype}, {spec.columns} per {'document' if spec.rows == 'one' else 'token'}"


def _numbers(recorded: object) -> Array:
    """Return recorded numbers as an array; an empty one for anything else."""
    is_list = isinstance(recorded, list) and all(isinstance(number, float | int) for number in recorded)
    try:
        return np.array(recorded if is_list else [], np.float64)
    except OverflowError:  # a whole number that no float holds
        return np.array([])


def _check_canary(model: Model, store: Store, arrays: Sequence[str]) -> None:
    stored = store.manifest.canary or {}
    now = canary(model)
    recorded = str(store.manifest.fingerprint.get("precision", "float32"))
    kinds = {str(next(model.parameters()).dtype).removeprefix("torch."), model.document_precision, recorded}
    limit = max(_TOLERANCE.get(kind, 0.0) for kind in kinds)
    for name in (*arrays, *(name + LONG for name in arrays if name + LONG in stored)):
        expected, found = _numbers(stored.get(name)), np.array(now.get(name, []))
        same = expected.shape == found.shape  # `not (... <= ...)` below also rejects NaN
        if not (same and np.abs(expected - found).max() <= limit * np.abs(expected).max()):
            raise StoreMismatch(
                f"{store.path}: {model.name} no longer computes the {name.removesuffix(LONG)} that it computed when the store "
                f"was built, in precision {recorded} (now {model.document_precision}), though its weights are equal; torch, "
                "transformers or the machine changed: index again"
            )
