"""Decoded entries of some documents, and how a head gets them: padded batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lateint.errors import InputError, ModelError
from lateint.model import Model
from lateint.parts import Part, part
from lateint.split import Candidates
from lateint_store import ArraySpec, Pipeline, Ragged

# Padded document tokens scored at once: memory is bounded whatever the number of candidates. On a processor joint rows
# that stay in its caches are faster (docs/log/2026-11-20-tokens-a-batch.md); a GPU wants more work at once.
TOKENS_A_BATCH, TOKENS_A_BATCH_ON_GPU = 4_096, 16_384


def pipelines(model: Model, codecs: Mapping[str, tuple[Part, ...]] | None = None) -> dict[str, Pipeline]:
    """The codec pipeline of every array that the model stores; `codecs` replaces the method's own, array by array.

    Raises: InputError for an array that the model does not store; SpecError for codecs that do not fit.
    """
    wide = model.backbone.config.vocab_size > 1 << 16  # then ids do not fit the methods' uint16
    ids = (part("cast", dtype="uint32" if wide else "uint16"),)
    chosen = {"token_ids": ids} | dict(model.method.codecs) | ({"token_ids": ids} if wide else {})
    chosen |= dict(codecs or {})
    if extra := sorted(set(codecs or {}) - set(model.arrays)):
        raise InputError(f"codecs for array {extra[0]!r}, but method {model.method.name!r} stores: {', '.join(model.arrays)}")
    return {name: Pipeline(_spec(model, name), chosen.get(name, ())) for name in model.arrays}


def _spec(model: Model, name: str) -> ArraySpec:
    if name == "token_ids":
        return ArraySpec("int64", None)
    if name == "states" and model.coder is not None:
        return ArraySpec("uint8", model.width(name))
    return ArraySpec("float32", model.width(name), rows="one" if name == "vector" else "tokens")


def round_trip(entries: Sequence[Mapping[str, NDArray[Any]]], through: Mapping[str, Pipeline]) -> dict[str, Ragged]:
    """Encode and decode entries in memory: what a store would give back, without one."""
    decoded = {}
    for name, pipeline in through.items():
        rows = [1 if pipeline.spec.rows == "one" else len(entry[name]) for entry in entries]
        decoded[name] = pipeline.decode_many([pipeline.encode(entry[name]) for entry in entries], rows)
    return decoded


@dataclass(frozen=True, slots=True)
class Batch:
    """Some candidates at once: their places in the list, and their arrays padded to the longest."""

    places: NDArray[np.int64]
    docs: Candidates


def batches(
    arrays: Mapping[str, Ragged],
    device: torch.device,
    budget: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Batch]:
    """Padded batches of similar length, longest first, each of at most `budget` padded tokens (or one document)."""
    if budget is None:
        budget = TOKENS_A_BATCH if device.type == "cpu" else TOKENS_A_BATCH_ON_GPU
    by_token = [ragged for ragged in arrays.values() if ragged.spec.rows == "tokens"]
    n = len(next(iter(arrays.values())))
    lengths = np.diff(by_token[0].offsets) if by_token else np.ones(n, dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < n:
        longest = max(1, int(lengths[order[start]]))
        places = order[start : start + max(1, budget // longest)]
        yield Batch(places, _padded(arrays, places, lengths[places], (device, dtype)))
        start += len(places)


def _padded(
    arrays: Mapping[str, Ragged],
    places: NDArray[np.int64],
    lengths: NDArray[np.int64],
    kind: tuple[torch.device, torch.dtype],
) -> Candidates:
    longest, (device, dtype) = int(lengths.max()), kind
    columns = np.arange(longest)
    full = bool((lengths == longest).all())
    mask = None if full else torch.from_numpy(columns[None, :] < lengths[:, None]).to(device)
    found: dict[str, Tensor] = {}
    for name, ragged in arrays.items():
        if ragged.spec.rows == "one":
            taken = ragged.values[places]
        else:
            # A pad repeats the document's last row: real numbers that the mask hides, never stale memory.
            inside = np.minimum(columns[None, :], np.maximum(lengths[:, None] - 1, 0))
            taken = ragged.values[ragged.offsets[places][:, None] + inside]
        wide = torch.from_numpy(np.ascontiguousarray(taken))
        kept = {"token_ids": torch.int64}.get(name, wide.dtype if wide.dtype == torch.uint8 else dtype)
        found[name] = wide.to(device, kept)
    return Candidates(mask=mask, **found)


def by_length(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Places in batches of similar length, longest first, each of at most `budget` padded tokens (or one text)."""
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def score_all(model: Model, query: Any, arrays: Mapping[str, Ragged], budget: int | None = None) -> NDArray[np.float32]:
    """Scores float32 [n] of all candidates against one query, in the order of the arrays.

    Raises: ModelError for a score that is not finite: it could not be ranked.
    """
    n = len(next(iter(arrays.values())))
    scores = np.empty(n, dtype=np.float32)
    with torch.inference_mode():
        for batch in batches(arrays, model.device, budget, next(model.parameters()).dtype):
            scores[batch.places] = model.score(query, batch.docs).float().cpu().numpy()
    return check_scores(model, scores)


def check_scores(model: Model, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scores, if all are finite. Raises: ModelError for one that is not: it could not be ranked."""
    if not np.isfinite(scores).all():
        place = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ModelError(
            f"{model.name} gives candidate {place} of {len(scores)} the score {scores[place]}; its weights are damaged, or "
            f"{next(model.parameters()).dtype} is too narrow for it: load it with dtype='float32'"
        )
    return scores
