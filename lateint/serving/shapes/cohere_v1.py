"""`/v1/rerank` of Cohere and of Jina: one answer with the fields of both, as their requests cannot be told apart."""

from __future__ import annotations

import msgspec

from lateint.serving.failures import Failure
from lateint.serving.requests import RerankAnswer, RerankRequest
from lateint.serving.shapes.base import AnswerContext, Extras, Shape, extras
from lateint.serving.shapes.cohere_v2 import CohereMeta, meta
from lateint.serving.shapes.jina import ScoredDocument, scored_documents


class CohereV1Answer(Extras, kw_only=True):
    """The answer of `/v1/rerank`."""

    id: str
    model: str
    object: str
    results: list[ScoredDocument]
    meta: CohereMeta


class CohereV1Error(msgspec.Struct):
    """An error of `/v1/rerank`: Cohere's `message`, Jina's `detail`."""

    message: str
    detail: str
    code: str
    ids: list[str]


class CohereV1(Shape):
    """Cohere v1, and Jina under the same path."""

    name = "cohere_v1"
    answer_type = CohereV1Answer
    error_type = CohereV1Error

    def answer(self, request: RerankRequest, found: RerankAnswer, about: AnswerContext) -> CohereV1Answer:
        """Return the body of an answer."""
        return CohereV1Answer(
            id=about.answer_id,
            model=about.model,
            object="list",
            results=scored_documents(request, found),
            meta=meta("1"),
            **extras(found),
        )

    def error(self, failure: Failure) -> CohereV1Error:
        """Return the body of an error."""
        return CohereV1Error(failure.message, failure.message, failure.code, list(failure.ids))
