"""What the shapes share: the body that every client sends, the fields that we add, and the contract of a shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, TypedDict

import msgspec

from lateint.serving.failures import Failure, invalid, without_paths
from lateint.serving.requests import RerankAnswer, RerankRequest


class Item(msgspec.Struct):
    """A candidate that is no plain text: an id of the store, a text, or both."""

    id: str | None = None
    text: str | None = None


class Body(msgspec.Struct, kw_only=True):
    """The body of a request, in any shape. Unknown fields are ignored."""

    query: str
    documents: list[str | Item] | None = None
    texts: list[str | Item] | None = None
    model: str | None = None
    top_n: int | None = None
    return_documents: bool | None = None
    return_text: bool | None = None
    raw_scores: bool | None = None
    truncate: bool | None = None
    missing: Literal["error", "skip", "encode"] | None = None
    ladder: str | list[tuple[str, int]] | None = None
    budget_ms: float | None = None
    explain: bool | None = None
    partial: Literal["allow", "error"] | None = None


class UsageFields(msgspec.Struct):
    """Candidates by origin, and tokens that ran through the model."""

    cached_documents: int
    reused_documents: int
    encoded_documents: int
    truncated_documents: int
    total_tokens: int
    prompt_tokens: int


class RungFields(msgspec.Struct):
    """A rung of a ladder run."""

    head: str
    candidates: int
    ms: float


class OverloadFields(msgspec.Struct):
    """Requests at work when this one came, and the budget that it got for that."""

    requests: int
    budget_ms: float


class ShardFields(msgspec.Struct):
    """A shard of the served set that gave no scores: the candidates that it owns, and why."""

    shard: int
    ids: list[str]
    reason: str


class Extras(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Fields that the service adds to an answer."""

    usage: UsageFields
    timing_ms: dict[str, float]
    store_digest: str
    rungs: list[RungFields] = []
    partial: bool = False
    overload: OverloadFields | None = None
    failures: list[ShardFields] = []


class AnswerContext(msgspec.Struct):
    """What an answer says beside the ranking: its own id, and the name of the served model."""

    answer_id: str
    model: str


class Shape(ABC):
    """One wire format. `candidates`: the body's field with the candidates."""

    name: str
    candidates: Literal["documents", "texts"] = "documents"
    answer_type: object
    error_type: type[msgspec.Struct]

    def __init__(self, id_prefix: str | None = None) -> None:
        self._prefix = id_prefix

    def read(self, body: Body) -> RerankRequest:
        """Return the request of a body. Raises: Refused."""
        given = body.documents if self.candidates == "documents" else body.texts
        if given is None:
            raise invalid(f"{self.candidates} is absent; expected a list of texts or of {{'id': ...}}")
        ids, texts = self._columns(given)
        return RerankRequest(
            query=body.query,
            ids=ids,
            texts=texts,
            top_n=body.top_n or None,
            missing=body.missing or "encode",
            ladder=body.ladder,
            budget_ms=body.budget_ms,
            raw_scores=bool(body.raw_scores),
            explain=bool(body.explain),
            partial=body.partial != "error",
            return_documents=self.returns_documents(body),
            id_prefix=self._prefix,
            whole=body.truncate is False,
        )

    def _columns(self, given: Sequence[str | Item]) -> tuple[list[str | None], list[str | None]]:
        prefix = self._prefix
        ids: list[str | None] = []
        texts: list[str | None] = []
        for item in given:
            if isinstance(item, Item):
                ids.append(item.id)
                texts.append(item.text)
            elif prefix is not None and item.startswith(prefix):
                ids.append(item[len(prefix) :])
                texts.append(None)
            else:
                ids.append(None)
                texts.append(item)
        return ids, texts

    def returns_documents(self, body: Body) -> bool:
        """Return whether the answer repeats the candidates."""
        return bool(body.return_documents)

    @abstractmethod
    def answer(self, request: RerankRequest, found: RerankAnswer, about: AnswerContext) -> object:
        """Return the body of an answer, an `answer_type`."""

    @abstractmethod
    def error(self, failure: Failure) -> msgspec.Struct:
        """Return the body of an error, an `error_type`."""


class ExtraFields(TypedDict):
    """The fields of `Extras`, by name."""

    usage: UsageFields
    timing_ms: dict[str, float]
    store_digest: str
    rungs: list[RungFields]
    partial: bool
    overload: OverloadFields | None
    failures: list[ShardFields]


def extras(found: RerankAnswer) -> ExtraFields:
    """Return the fields that the service adds to an answer."""
    usage, load = found.usage, found.overload
    return {
        "usage": UsageFields(
            cached_documents=usage.cached_documents,
            reused_documents=usage.reused_documents,
            encoded_documents=usage.encoded_documents,
            truncated_documents=usage.truncated_documents,
            total_tokens=usage.tokens,
            prompt_tokens=usage.tokens,
        ),
        "timing_ms": found.timing_ms,
        "store_digest": found.store_digest,
        "rungs": [RungFields(*rung) for rung in found.rungs],
        "partial": found.partial,
        "overload": None if load is None else OverloadFields(int(load["requests"]), load["budget_ms"]),
        "failures": [ShardFields(lost.shard, list(lost.ids), without_paths(lost.reason)) for lost in found.failures],
    }
