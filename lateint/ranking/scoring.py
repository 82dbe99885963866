"""Score arrays with a model's head, decoded or directly from their stored codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from lateint.backbone.precision import way_out
from lateint.errors import ModelError
from lateint.heads.base import QuantizedHead, TokenShares
from lateint.heads.inputs import QuantizedRows, Query, RotatedRows, SummedRows, is_raw_bytes
from lateint.model.batching import batches
from lateint.model.model import Model
from lateint.model.threads import one_thread
from lateint_store import Pipeline, Ragged
from lateint_store.codecs.codec import make_codec
from lateint_store.codecs.rotated import Rotated


def readable_codecs(model: Model, through: Mapping[str, Pipeline]) -> dict[str, Rotated]:
    """Return the codecs of these stored arrays if the head can score their codes directly, else an empty dict.

    Only on a CPU.
    """
    head = model.head
    if model.device.type != "cpu" or not isinstance(head, QuantizedHead) or not head.can_score_quantized(through):
        return {}
    coded = {name: pipeline.coding[0] for name, pipeline in through.items() if not is_raw_bytes(pipeline)}
    return {name: cast(Rotated, make_codec(codec)) for name, codec in coded.items()}


def score_quantized(
    model: Model, query: Query, rows: Mapping[str, Ragged], codecs: Mapping[str, Rotated]
) -> NDArray[np.float32]:
    """Score all candidates against one query from their stored codes: float32 [n].

    Raises: ModelError for a score that is not finite, because it cannot be ranked.
    """
    head, quantized = _quantized(model, rows, codecs)
    with torch.inference_mode(), one_thread(model.threads is None):
        scores = head.score_quantized(query, quantized).numpy()
    return check_scores(model, scores)


def explain_one(model: Model, query: Query, rows: Mapping[str, Ragged], codecs: Mapping[str, Rotated]) -> TokenShares:
    """Split the score of one candidate into shares: with `codecs` as `score_quantized` computes it, else as `score_all`.

    Raises: InputError for a head that cannot explain.
    """
    with torch.inference_mode():
        if not codecs:
            (batch,) = batches(rows, model.device, dtype=next(model.parameters()).dtype)
            return model.explain(query, batch.docs)
        head, quantized = _quantized(model, {name: _apart(own) for name, own in rows.items()}, codecs)
        return head.explain_quantized(query, quantized)


def _quantized(
    model: Model, rows: Mapping[str, Ragged], codecs: Mapping[str, Rotated]
) -> tuple[QuantizedHead, dict[str, QuantizedRows]]:
    """Return the head, and what it reads: rows in their stored bytes."""
    head, quantizer = model.head, model.quantizer
    assert isinstance(head, QuantizedHead)
    quantized: dict[str, QuantizedRows] = {name: RotatedRows(rows[name], codec) for name, codec in codecs.items()}
    if quantizer is not None:
        vectors = quantized.get("vector") if quantizer.vector_width is not None else None
        quantized |= {name: SummedRows(own, quantizer, vectors) for name, own in rows.items() if name not in codecs}
    return head, quantized


def _apart(rows: Ragged) -> Ragged:
    """Return every row as a document of its own, so that a largest similarity is the row's own."""
    return Ragged(rows.values, np.arange(len(rows.values) + 1), rows.spec)


def score_all(model: Model, query: Query, arrays: Mapping[str, Ragged], budget: int | None = None) -> NDArray[np.float32]:
    """Score all candidates against one query, in padded batches: float32 [n] in the order of the arrays.

    Raises: ModelError for a score that is not finite, because it cannot be ranked.
    """
    n = len(next(iter(arrays.values())))
    scores = np.empty(n, dtype=np.float32)
    with torch.inference_mode():
        for batch in batches(arrays, model.device, budget, next(model.parameters()).dtype):
            scores[batch.indices] = model.score(query, batch.docs).float().cpu().numpy()
    return check_scores(model, scores)


def check_scores(model: Model, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scores unchanged. Raises: ModelError if one is not finite, because it cannot be ranked."""
    if not np.isfinite(scores).all():
        index, dtype = int(np.flatnonzero(~np.isfinite(scores))[0]), next(model.parameters()).dtype
        raise ModelError(
            f"{model.name} gives candidate {index} of {len(scores)} the score {scores[index]} in {dtype}: {way_out(dtype)}"
        )
    return scores
