"""Cohere's `/v2/rerank`: `results` with `index` and `relevance_score`; errors as `message`."""

from __future__ import annotations

import msgspec

from lateint.results import Explanation
from lateint.serving.failures import Failure
from lateint.serving.requests import RerankAnswer, RerankRequest
from lateint.serving.shapes.base import AnswerContext, Body, Extras, Shape, extras


class Scored(msgspec.Struct, omit_defaults=True):
    """A ranked candidate. `explanation`: which words made the score, if that was asked for."""

    index: int
    relevance_score: float
    explanation: Explanation | None = None


class ApiVersion(msgspec.Struct):
    """The version of the wire format."""

    version: str


class CohereMeta(msgspec.Struct):
    """What Cohere's clients read beside the results."""

    api_version: ApiVersion
    billed_units: dict[str, int]


class CohereV2Answer(Extras, kw_only=True):
    """The answer of `/v2/rerank`."""

    id: str
    results: list[Scored]
    meta: CohereMeta


class CohereV2Error(msgspec.Struct):
    """An error of `/v2/rerank`."""

    message: str
    code: str
    ids: list[str]


class CohereV2(Shape):
    """Cohere v2."""

    name = "cohere_v2"
    answer_type = CohereV2Answer
    error_type = CohereV2Error

    def returns_documents(self, body: Body) -> bool:
        """Never: the second version of the format has no field for them."""
        return False

    def answer(self, request: RerankRequest, found: RerankAnswer, about: AnswerContext) -> CohereV2Answer:
        """Return the body of an answer."""
        explained = found.explanations
        results = [Scored(index, score, explained.get(index)) for index, score in found.results]
        return CohereV2Answer(id=about.answer_id, results=results, meta=meta("2"), **extras(found))

    def error(self, failure: Failure) -> CohereV2Error:
        """Return the body of an error."""
        return CohereV2Error(failure.message, failure.code, list(failure.ids))


def meta(version: str) -> CohereMeta:
    """Return what Cohere's clients read beside the results: nothing is billed."""
    return CohereMeta(ApiVersion(version), {"search_units": 0})
