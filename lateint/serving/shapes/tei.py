"""`/rerank` of text-embeddings-inference: a body with `texts`, a bare array as the answer.

An array has no room for the fields that the service adds: they are in the header `x-lateint`, as JSON.
"""

from __future__ import annotations

import msgspec

from lateint.results import Explanation
from lateint.serving.failures import Failure
from lateint.serving.requests import RerankAnswer, RerankRequest
from lateint.serving.shapes.base import AnswerContext, Body, Shape

_TYPES = {429: "Overloaded", 503: "Unhealthy"}


class TeiRank(msgspec.Struct, omit_defaults=True):
    """A ranked candidate, with its text if that was asked for. `explanation`: which words made the score."""

    index: int
    score: float
    text: str | None = None
    explanation: Explanation | None = None


class TeiError(msgspec.Struct):
    """An error of `/rerank` with `texts`."""

    error: str
    error_type: str
    ids: list[str]


class Tei(Shape):
    """Text-embeddings-inference."""

    name = "tei"
    candidates = "texts"
    answer_type = list[TeiRank]
    error_type = TeiError

    def returns_documents(self, body: Body) -> bool:
        """Return whether the answer repeats the texts."""
        return bool(body.return_text)

    def answer(self, request: RerankRequest, found: RerankAnswer, about: AnswerContext) -> list[TeiRank]:
        """Return the body of an answer."""
        text, explained = request.sent_text if request.return_documents else (lambda _: None), found.explanations
        return [TeiRank(index, score, text(index), explained.get(index)) for index, score in found.results]

    def error(self, failure: Failure) -> TeiError:
        """Return the body of an error."""
        kind = _TYPES.get(failure.status, "Backend" if failure.status >= 500 else "Validation")
        return TeiError(failure.message, kind, list(failure.ids))
