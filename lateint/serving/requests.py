"""A request to rerank, without the shape that it came in, and the limits that it is held to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from lateint.cluster.messages import ShardFailure
from lateint.ranking.checks import Missing
from lateint.ranking.ladder import Ladder
from lateint.results import Explanation
from lateint.serving.failures import invalid, too_large
from lateint.serving.options import MIB, ServeOptions
from lateint_store.format.block import MAX_ID_BYTES

_QUERY_CHARACTERS = 16_384
_TEXT_CHARACTERS = 1_000_000
_LADDER_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may hold. `body`: bytes; `documents`: candidates; `texts`: those with a text; `tokens`: encoded now."""

    body: int
    documents: int
    texts: int
    tokens: int
    query_characters: int = _QUERY_CHARACTERS
    text_characters: int = _TEXT_CHARACTERS

    @classmethod
    def of(cls, options: ServeOptions) -> Limits:
        """Return the limits that the options set."""
        return cls(options.max_body_mib * MIB, options.max_documents, options.max_texts, options.max_tokens)


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """One request. Candidate i has an id, a text, or both (then the text serves if the store lacks the id).

    `missing` decides about ids that the store lacks: `error` and `skip` as in `Ranker.rank`; `encode`, the default, uses
    their texts, and fails for those without one. `id_prefix`: what texts that are ids began with. `partial`: answer
    also if owners of some candidates do not. `whole`: refuse texts that
    would be cut instead of cutting them.
    """

    query: str
    ids: Sequence[str | None]
    texts: Sequence[str | None]
    top_n: int | None = None
    missing: Missing = "encode"
    ladder: Ladder | None = None
    budget_ms: float | None = None
    raw_scores: bool = False
    explain: bool = False
    return_documents: bool = False
    id_prefix: str | None = None
    partial: bool = True
    whole: bool = False

    def sent_text(self, index: int) -> str | None:
        """Return the text of a candidate as it was sent; None for an object without one."""
        doc_id, text = self.ids[index], self.texts[index]
        return f"{self.id_prefix}{doc_id}" if text is None and self.id_prefix is not None else text

    def check(self, limits: Limits) -> None:
        """Hold the request to the limits. Raises: Refused."""
        if not self.ids:
            raise invalid("documents is empty; expected at least one")
        if len(self.ids) > limits.documents:
            raise too_large(f"{len(self.ids)} documents; expected at most {limits.documents}")
        if len(self.query) > limits.query_characters:
            raise too_large(f"a query of {len(self.query)} characters; expected at most {limits.query_characters}")
        self._check_candidates(limits)
        if self.top_n is not None and self.top_n < 0:
            raise invalid(f"top_n is {self.top_n}; expected a number of results, 0 or null for all")
        if self.budget_ms is not None and not (math.isfinite(self.budget_ms) and self.budget_ms > 0):
            raise invalid(f"budget_ms is {self.budget_ms}; expected milliseconds above 0")
        if isinstance(self.ladder, str) and len(self.ladder) > _LADDER_CHARACTERS:
            raise invalid(f"a ladder of {len(self.ladder)} characters; expected head:depth, e.g. cosine:200")
        if self.explain and (self.ladder is not None or self.budget_ms is not None):
            raise invalid("explain explains the scores of one head, and ladder and budget_ms mix those of several")

    def _check_candidates(self, limits: Limits) -> None:
        texts = 0
        for index, (doc_id, text) in enumerate(zip(self.ids, self.texts, strict=True)):
            if doc_id is not None:
                if not 1 <= len(doc_id) <= MAX_ID_BYTES or len(doc_id.encode()) > MAX_ID_BYTES:
                    raise invalid(
                        f"document {index} has an id of {len(doc_id.encode())} bytes; a store has ids of 1 to {MAX_ID_BYTES}"
                    )
            elif text is None:
                raise invalid(f"document {index} has no id and no text; expected a text, {{'id': ...}} or {{'text': ...}}")
            if text is not None:
                texts += 1
                if len(text) > limits.text_characters:
                    raise too_large(f"document {index} has {len(text)} characters; expected at most {limits.text_characters}")
        if texts > limits.texts:
            raise too_large(f"{texts} documents with a text; expected at most {limits.texts}; send ids for those in the store")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer took: candidates read from the store, read from the cache, encoded now, and texts that lost their end.

    `tokens`: of the query and of the texts that were encoded now.
    """

    cached_documents: int = 0
    reused_documents: int = 0
    encoded_documents: int = 0
    truncated_documents: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class RerankAnswer:
    """The ranked candidates of one request.

    results: (index of the candidate, score to send), best first. timing_ms: milliseconds by phase. rungs: (head, candidates,
    milliseconds) of a ladder run. partial: True if a candidate is left out, or no head has scored the stored candidates.
    overload: what was done because of other requests. explanations: by index. failures: shards of a set without an answer.
    """

    results: Sequence[tuple[int, float]]
    usage: Usage
    timing_ms: dict[str, float]
    rungs: Sequence[tuple[str, int, float]]
    store_digest: str
    partial: bool = False
    overload: dict[str, float] | None = None
    explanations: dict[int, Explanation] = field(default_factory=dict)
    failures: Sequence[ShardFailure] = ()
