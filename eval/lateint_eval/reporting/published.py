"""Published models as references on the page: the strongest single vector, and an int8 reranker that reads texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lateint_eval.reporting.reference import Reference, kept_reference, per_query, run, vectors
from lateint_eval.reporting.sets import EvaluationTask
from lateint_eval.systems import Scored, System

if TYPE_CHECKING:
    from lateint.model.model import Model

PairScores = Callable[[Sequence[tuple[str, str]]], Sequence[float]]
"""A function that scores pairs of query and text, in their order."""


@dataclass(frozen=True, slots=True)
class Published:
    """A model with published weights. `system`: its key in stored references; `label`: its name in the table."""

    weights: str
    system: str
    label: str

    @property
    def digest(self) -> str:
        """SHA-256 of the file of weights, which is pinned: it is known where the package is not installed."""
        from lateint.loading.packaged import PACKAGED

        return PACKAGED[self.weights].files["model.onnx"]


SINGLE_VECTOR = Published("bge-small-en-v1.5", "bge", "`bge-small-en-v1.5` (cosine)")
INT8_RERANKER = Published("ms-marco-MiniLM-L12-v2", "onnx", "`ms-marco-MiniLM-L12-v2` (int8, onnxruntime)")
PUBLISHED = (SINGLE_VECTOR, INT8_RERANKER)


def rank_by_vectors(
    published: Published, model: Callable[[], Model], task: EvaluationTask, kept: Path, date: str = ""
) -> Reference:
    """Return the reference of a model whose vectors are stored, computed if it is not in `kept`; `model` loads it."""

    def compute() -> tuple[dict[str, dict[str, dict[str, float]]], float]:
        values, size = vectors(model(), task)
        return {published.system: values}, size

    return kept_reference(task, published.weights, published.digest, compute, kept, date)


def rank_by_texts(
    published: Published, scores: Callable[[], PairScores], task: EvaluationTask, kept: Path, date: str = ""
) -> Reference:
    """Return the reference of a model that reads texts, computed if it is not in `kept`; `scores` loads it.

    Texts are titles and passages, as `full_text` of a document joins them.
    """

    def compute() -> tuple[dict[str, dict[str, dict[str, float]]], None]:
        score, documents = scores(), task.split.documents

        def rerank(query: str, ids: Sequence[str]) -> Scored:
            found = score([(query, documents[doc_id].full_text) for doc_id in ids])
            return sorted(zip(ids, map(float, found), strict=True), key=lambda pair: -pair[1])

        return {published.system: per_query(run(System(published.system, rerank), task))}, None

    return kept_reference(task, published.weights, published.digest, compute, kept, date)
