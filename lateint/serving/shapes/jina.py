"""`/rerank` of Jina and vLLM: a body with `documents`, an answer that repeats them unless told not to."""

from __future__ import annotations

import msgspec

from lateint.results import Explanation
from lateint.serving.failures import Failure
from lateint.serving.requests import RerankAnswer, RerankRequest
from lateint.serving.shapes.base import AnswerContext, Body, Extras, Shape, extras

_TYPES = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError"}


class SentDocument(msgspec.Struct, omit_defaults=True):
    """A candidate as it was sent. Clients need a text, so a candidate that was an id alone has an empty one."""

    text: str
    id: str | None = None


class ScoredDocument(msgspec.Struct, omit_defaults=True):
    """A ranked candidate, and the candidate itself if it is repeated. `explanation`: which words made the score."""

    index: int
    relevance_score: float
    document: SentDocument | None = None
    explanation: Explanation | None = None


class JinaAnswer(Extras, kw_only=True):
    """The answer of `/rerank` with `documents`."""

    id: str
    model: str
    object: str
    results: list[ScoredDocument]


class JinaError(msgspec.Struct):
    """An error of `/rerank` with `documents`: Jina's `detail`, and the fields of vLLM."""

    object: str
    message: str
    detail: str
    type: str
    code: int
    ids: list[str]


class Jina(Shape):
    """Jina and vLLM."""

    name = "jina"
    answer_type = JinaAnswer
    error_type = JinaError

    def returns_documents(self, body: Body) -> bool:
        """Return whether the answer repeats the candidates: by default it does."""
        return body.return_documents is not False

    def answer(self, request: RerankRequest, found: RerankAnswer, about: AnswerContext) -> JinaAnswer:
        """Return the body of an answer."""
        results = scored_documents(request, found)
        return JinaAnswer(id=about.answer_id, model=about.model, object="list", results=results, **extras(found))

    def error(self, failure: Failure) -> JinaError:
        """Return the body of an error."""
        kind = _TYPES.get(failure.status, "InternalServerError" if failure.status >= 500 else "BadRequestError")
        return JinaError("error", failure.message, failure.message, kind, failure.status, list(failure.ids))


def scored_documents(request: RerankRequest, found: RerankAnswer) -> list[ScoredDocument]:
    """Return the results, with the candidates if the request wants them back."""
    explained = found.explanations
    if not request.return_documents:
        return [ScoredDocument(index, score, None, explained.get(index)) for index, score in found.results]
    documents = (
        (index, score, SentDocument(request.sent_text(index) or "", request.ids[index])) for index, score in found.results
    )
    return [ScoredDocument(index, score, document, explained.get(index)) for index, score, document in documents]
