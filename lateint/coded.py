"""Arrays that a head reads as they are stored: their codes never become numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lateint.entries import check_scores
from lateint.kernels.maxima import WHOLE, best_cosines
from lateint.model import Model
from lateint.split import Query
from lateint_store import Pipeline, Ragged
from lateint_store.codec import make_codec
from lateint_store.codecs.rotated import Rotated


@dataclass(frozen=True, slots=True)
class Coded:
    """Rows of n documents as a codec made them, uint8."""

    rows: Ragged
    codec: Rotated

    def best_cosines(self, queries: Tensor) -> Tensor:
        """The largest cosine of each query row [q, w] with a document's rows: float32 [n, q]."""
        return torch.from_numpy(best_cosines(self.rows, self.codec, queries.float().numpy()))


def reads_bytes(pipeline: Pipeline) -> bool:
    """Whether a kernel can read rows of this pipeline: one codec `rotated`, of bits that fill bytes, laid out raw."""
    first, *others = pipeline.coding
    return first.name == "rotated" and dict(first.settings)["bits"] in WHOLE and [other.name for other in others] == ["raw"]


def keeps_directions(pipeline: Pipeline) -> bool:
    """Whether decoded rows have length 1, so that inner products with them are cosines."""
    return dict(pipeline.coding[0].settings).get("scale") == "none"


def scores_codes(model: Model, through: Mapping[str, Pipeline]) -> bool:
    """Whether the model's head scores candidates from these stored arrays without decoding them; on a processor only."""
    head = model.head
    return model.device.type == "cpu" and hasattr(head, "scores_codes") and bool(head.scores_codes(through))


def score_coded(
    model: Model, query: Query, rows: Mapping[str, Ragged], through: Mapping[str, Pipeline]
) -> NDArray[np.float32]:
    """Scores float32 [n] of all candidates against one query, from rows as they are stored.

    Raises: ModelError for a score that is not finite: it could not be ranked.
    """
    coded = {name: Coded(own, _rotated(through[name])) for name, own in rows.items()}
    with torch.inference_mode():
        scores = model.head.score_codes(query, coded).numpy()
    return check_scores(model, scores)


def _rotated(pipeline: Pipeline) -> Rotated:
    codec = make_codec(pipeline.coding[0])
    assert isinstance(codec, Rotated)
    return codec
