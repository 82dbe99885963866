"""Check that a store and a model match: compare recorded facts, then recompute some states (the canary)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from lateint.errors import StoreMismatch
from lateint.indexing.fingerprint import PROBES, fingerprint, head_digest
from lateint.model.digests import digest_json
from lateint.model.document import Document
from lateint.model.model import Model
from lateint_store import Store
from lateint_store.spec import Array

_CANARY_ROWS, _CANARY_NUMBERS = 8, 4
_TOLERANCE = {"float32": 1e-4, "float64": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
"""Largest allowed difference of a canary number, relative to the largest number of its array. Other thread counts, BLAS
libraries and batch shapes change the numbers slightly."""


class ModelRecord(TypedDict):
    """Facts that a store records about the model that fills it, JSON-able."""

    model: dict[str, object]
    fingerprint: dict[str, str]
    head: dict[str, str]
    canary: dict[str, list[float]]


def canary(model: Model) -> dict[str, list[float]]:
    """Compute a few numbers per array: fixed random projections of the first rows of fixed texts, before any codec.

    If a quantiser stores codes, the directions before quantisation are used: a rounding difference can change a code.
    """
    rows = model.document_tokens([Document(str(i), text) for i, text in enumerate(PROBES)])
    numbers: dict[str, list[float]] = {}
    for entry in model.encode(rows, exact=True):
        for name, array in entry.items():
            numbers.setdefault(name, []).extend(_project(np.atleast_2d(array.astype(np.float64))))
    return numbers


def _project(array: Array) -> list[float]:
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(array.shape[1], _CANARY_NUMBERS))
    projected = array[:_CANARY_ROWS] @ signs / np.sqrt(array.shape[1])
    return [round(float(x), 6) for x in projected.ravel()]


def describe(model: Model) -> ModelRecord:
    """Return the facts that a new store records of the model that fills it."""
    return {
        "model": {"name": model.name, "checkpoint": model.checkpoint, "method": model.method.to_json()},
        "fingerprint": fingerprint(model),
        "head": {"name": model.method.head.name, "digest": head_digest(model)},
        "canary": canary(model),
    }


def check_model(model: Model, store: Store, arrays: Sequence[str] | None = None) -> None:
    """Reject a store whose arrays this model would not produce. Another head over the same arrays is allowed.

    Only facts of `arrays` are compared, by default of those that the model's head reads: a `cosine` model may read the
    vectors of a store that also has states.

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
    checked = (name for name in computed if "." not in name or name.startswith(read))
    differing = sorted(name for name in checked if recorded.get(name) != computed[name])
    if differing:
        raise StoreMismatch(
            f"{made}, not by {model.name} [{digest_json(computed)[:12]}]: {', '.join(differing)} differ; "
            f"index again with {model.name}, or load the store's model"
        )
    _check_canary(model, store, reads)


def _check_canary(model: Model, store: Store, arrays: Sequence[str]) -> None:
    stored = store.manifest.canary or {}
    now = canary(model)
    limit = _TOLERANCE[str(next(model.parameters()).dtype).removeprefix("torch.")]
    for name in arrays:
        values = stored.get(name, [])
        expected, found = np.array(values), np.array(now.get(name, []))
        same = expected.shape == found.shape  # `not (... <= ...)` below also rejects NaN
        if not (same and np.abs(expected - found).max() <= limit * np.abs(expected).max()):
            raise StoreMismatch(
                f"{store.path}: {model.name} no longer computes the {name} that it computed when the store was built, though "
                "its weights are equal; torch, transformers or the machine changed: index again"
            )
