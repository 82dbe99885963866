"""Arrays that a head reads as they are stored: their codes never become numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lateint.entries import check_scores
from lateint.kernels.maxima import WHOLE, best_cosines, best_sums, columns
from lateint.model import Model
from lateint.split import Query
from lateint_store import Pipeline, Ragged
from lateint_store.codecs.codec import make_codec
from lateint_store.codecs.rotated import Rotated


class Coded(Protocol):
    """Rows of n documents as they are stored, and what their bytes mean."""

    def best(self, queries: Tensor) -> Tensor:
        """The largest similarity of each query row [q, c] with a document's rows: float32 [n, q]."""
        ...


@dataclass(frozen=True, slots=True)
class Rotations:
    """Bytes that a codec made of directions: similar as cosines are."""

    rows: Ragged
    codec: Rotated

    def best(self, queries: Tensor) -> Tensor:
        """The largest cosines."""
        return torch.from_numpy(best_cosines(self.rows, self.codec, queries.float().numpy()))


@dataclass(frozen=True, slots=True)
class Sums:
    """Bytes that a model's compressor made, each the name of a part of a sum: similar as inner products with the sums are."""

    rows: Ragged
    coder: Any

    def best(self, queries: Tensor) -> Tensor:
        """The largest inner products, query rows at length 1."""
        q = len(queries)
        padded = F.pad(F.normalize(queries.float(), dim=-1), (0, 0, 0, columns(q) - q))  # so that no table is copied for it
        shares, words = self.coder.tables(padded)
        return torch.from_numpy(best_sums(self.rows, q, shares.numpy(), None if words is None else words.numpy()))


def reads_bytes(pipeline: Pipeline) -> bool:
    """Whether a kernel can read rows of this pipeline: one codec `rotated`, of bits that fill bytes, laid out raw."""
    first, *others = pipeline.coding
    return first.name == "rotated" and dict(first.settings)["bits"] in WHOLE and [other.name for other in others] == ["raw"]


def reads_raw(pipeline: Pipeline) -> bool:
    """Whether rows are bytes that no codec of this pipeline changed."""
    return pipeline.spec.dtype == "uint8" and [codec.name for codec in pipeline.coding] == ["raw"]


def reads_cosines(vectors: Pipeline, normalised: bool) -> bool:
    """The same of vectors of which a head wants inner products: those must be `normalised` by it, or decoded to length 1."""
    return reads_bytes(vectors) and (normalised or dict(vectors.coding[0].settings)["scale"] == "none")


def codecs_read(model: Model, through: Mapping[str, Pipeline]) -> dict[str, Rotated]:
    """The codecs of these stored arrays, if the model's head scores candidates without decoding them; else none.

    On a processor only.
    """
    head = model.head
    if model.device.type != "cpu" or not hasattr(head, "scores_codes") or not head.scores_codes(through):
        return {}
    coded = {name: pipeline.coding[0] for name, pipeline in through.items() if not reads_raw(pipeline)}
    return {name: cast(Rotated, make_codec(codec)) for name, codec in coded.items()}


def score_coded(
    model: Model, query: Query, rows: Mapping[str, Ragged], codecs: Mapping[str, Rotated]
) -> NDArray[np.float32]:
    """Scores float32 [n] of all candidates against one query, from rows as they are stored.

    Raises: ModelError for a score that is not finite: it could not be ranked.
    """
    coded: dict[str, Coded] = {
        name: Rotations(own, codecs[name]) if name in codecs else Sums(own, model.coder) for name, own in rows.items()
    }
    with torch.inference_mode():
        scores = model.head.score_codes(query, coded).numpy()
    return check_scores(model, scores)
