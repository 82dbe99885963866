"""Aggregate the scores of a document's chunks into one score per document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lateint.errors import InputError
from lateint.heads.base import JointHead
from lateint.heads.inputs import Query
from lateint.model.batching import batches
from lateint.model.model import Model
from lateint.ranking.scoring import check_scores, score_all
from lateint_store import Ragged
from lateint_store.arguments import check_text, parse_count

_EXPECTED = "expected 'max', 'first', 'mean_top:K' with K of at least 1, or 'mean_cls'"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The document's score from the scores of its chunks: the maximum (MaxP), the first (FirstP), or the mean of the top K.

    `mean_cls` does not use chunk scores: it averages the CLS rows of the chunks and classifies the mean (PreTTR).
    Source: arXiv:1905.09217 for MaxP and FirstP; arXiv:2004.14255 for the averaged CLS.
    """

    name: str
    k: int = 1

    @classmethod
    def parse(cls, text: str) -> Aggregate:
        """Read `max`, `first`, `mean_top:K` or `mean_cls`. Raises: InputError."""
        check_text(text, "aggregate")
        name, colon, k = text.partition(":")
        if name == "mean_top" and (best := parse_count(k)):
            return cls(name, best)
        if name in ("max", "first", "mean_cls") and not colon:
            return cls(name)
        raise InputError(f"aggregate={text!r}; {_EXPECTED}")

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.name}:{self.k}" if self.name == "mean_top" else self.name

    def check(self, model: Model) -> None:
        """Reject `mean_cls` for a head that does not classify one CLS row. Raises: InputError."""
        classifies = isinstance(model.head, JointHead) and model.head.needs_classifier and model.backbone.reads_cls_only
        if self.name == "mean_cls" and not classifies:
            raise InputError(
                f"aggregate='mean_cls' averages the CLS rows that a classifier reads; head {model.method.head.name!r} of "
                f"{model.name} has none: use 'max', 'first' or 'mean_top:K'"
            )

    def __call__(self, scores: NDArray[np.float32], sizes: Sequence[int]) -> list[float]:
        """Map chunk scores [sum(sizes)], document by document, to one score per document. Each has at least one chunk."""
        if len(scores) == len(sizes):
            unchanged: list[float] = scores.tolist()
            return unchanged
        starts = np.cumsum([0, *sizes[:-1]])
        if self.name == "mean_top":
            return [float(np.sort(chunks)[-self.k :].mean()) for chunks in np.split(scores, starts[1:])]
        values: list[float] = (scores[starts] if self.name == "first" else np.maximum.reduceat(scores, starts)).tolist()
        return values

    def chosen(self, scores: NDArray[np.float32]) -> list[int]:
        """Return the chunks whose mean score is that of the document, from the chunk scores of one document; best first."""
        if self.name == "first":
            return [0]
        best: list[int] = np.argsort(-scores, kind="stable")[: self.k].tolist()
        return best


def score_documents(
    model: Model, query: Query, arrays: Mapping[str, Ragged], sizes: Sequence[int], aggregate: Aggregate
) -> list[float]:
    """Score documents against one query. `arrays` hold their chunks, document by document; `sizes`: chunks per document.

    Raises: ModelError for a score that is not finite.
    """
    if aggregate.name != "mean_cls":
        return aggregate(score_all(model, query, arrays), sizes)
    head, rows = model.head, torch.empty(sum(sizes), model.backbone.width, dtype=torch.float32, device="cpu")
    assert isinstance(head, JointHead)  # `check` refused any other
    with torch.inference_mode():
        for batch in batches(arrays, model.device, dtype=next(model.parameters()).dtype):
            rows[batch.indices] = head.cls(query, batch.docs).float().cpu()
        means = torch.stack([chunks.mean(dim=0) for chunks in torch.split(rows, list(sizes))])
        scores = head.classify(means[:, None].to(model.device, next(model.parameters()).dtype))
    found: list[float] = check_scores(model, scores.float().cpu().numpy()).tolist()
    return found
