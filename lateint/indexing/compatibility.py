"""Whether a store and a model belong together: recorded facts first, then a canary that recomputes some states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lateint.errors import StoreMismatch
from lateint.indexing.fingerprint import PROBES, fingerprint, head_digest
from lateint.model.digests import digest_json
from lateint.model.document import Document
from lateint.model.model import Model

CANARY_ROWS, CANARY_NUMBERS = 8, 4
TOLERANCE = {"float32": 1e-4, "float64": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
"""Largest difference of a canary number, relative to its array's largest: other threads, BLAS and batch shapes move it."""


def canary(model: Model) -> dict[str, list[float]]:
    """A few numbers of the arrays of fixed texts: fixed random projections of their first rows, before any codec.

    Bytes that a compressor makes are left as the directions that they stand for: a last bit may turn a byte.
    """
    rows = model.document_tokens([Document(str(i), text) for i, text in enumerate(PROBES)])
    found: dict[str, list[float]] = {}
    for entry in model.encode(rows, exact=True):
        for name, array in entry.items():
            found.setdefault(name, []).extend(_project(np.atleast_2d(array.astype(np.float64))))
    return found


def _project(array: NDArray[Any]) -> list[float]:
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(array.shape[1], CANARY_NUMBERS))
    projected = array[:CANARY_ROWS] @ signs / np.sqrt(array.shape[1])
    return [round(float(x), 6) for x in projected.ravel()]


def describe(model: Model) -> dict[str, Any]:
    """What a new store records of the model that fills it."""
    facts = fingerprint(model)
    return {
        "model": {"name": model.name, "checkpoint": model.checkpoint, "method": model.method.to_json()},
        "fingerprint": facts,
        "head": {"name": model.method.head.name, "digest": head_digest(model)},
        "canary": canary(model),
    }


def check_model(model: Model, store: Any, arrays: Sequence[str] | None = None) -> None:
    """Refuse a store whose arrays this model would not make. Another head over the same arrays is welcome.

    Only facts of `arrays` count, by default those that the model's head reads: a cosine may read the vectors of a richer
    store.

    Raises: StoreMismatch naming both models, both digests and the facts that differ.
    """
    reads = tuple(model.head.reads if arrays is None else arrays)
    recorded, ours = dict(store.manifest.fingerprint), fingerprint(model)
    theirs = store.manifest.model.get("name", "an unknown model")
    made = f"{store.path} was made by {theirs} [{digest_json(recorded)[:12]}]"
    if missing := [name for name in reads if f"{name}.weights" not in recorded]:
        raise StoreMismatch(
            f"{made} and holds no array {missing[0]!r}, which head {model.method.head.name!r} of {model.name} "
            f"[{digest_json(ours)[:12]}] reads; index again with {model.name}, or load the store's model"
        )
    read = tuple(f"{name}." for name in reads)
    checked = (name for name in ours if "." not in name or name.startswith(read))
    differing = sorted(name for name in checked if recorded.get(name) != ours[name])
    if differing:
        raise StoreMismatch(
            f"{made}, not by {model.name} [{digest_json(ours)[:12]}]: {', '.join(differing)} differ; "
            f"index again with {model.name}, or load the store's model"
        )
    _check_canary(model, store, reads)


def _check_canary(model: Model, store: Any, arrays: Sequence[str]) -> None:
    stored = store.manifest.canary or {}
    now = canary(model)
    limit = TOLERANCE[str(next(model.parameters()).dtype).removeprefix("torch.")]
    for name in arrays:
        values = stored.get(name, [])
        expected, found = np.array(values), np.array(now.get(name, []))
        same = expected.shape == found.shape  # below, the comparison is turned so that NaN fails it
        if not (same and np.abs(expected - found).max() <= limit * np.abs(expected).max()):
            raise StoreMismatch(
                f"{store.path}: {model.name} no longer gives the {name} that it gave when the store was built, though its "
                "weights are equal; torch, transformers or the machine changed: index again"
            )
