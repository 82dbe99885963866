"""A cascade: models one behind the other, each over a store of its own, each ranking again the best of the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lateint.errors import InputError, MissingDocument
from lateint.model.document import Document, as_documents
from lateint.ranking.ladder import Cost, Scored, stacked
from lateint.ranking.ranker import Missing, Ranker
from lateint.results import Clock, Hit, Ranking, combine_timings

Step = tuple[Ranker, int]
"""A ranker with how many of the ranking before it ranks again."""


class Cascade:
    """Ranks with `first`, then the best of that again with each of `then`. Safe to use from many threads at once.

    A ladder climbs the heads of one model over one store, a cascade climbs models: ten candidates are few enough for a
    whole cross-encoder. A ranker without a store takes the texts of what it ranks from `documents`.
    Raises: InputError for a depth below 1 or above the one before.
    """

    def __init__(self, first: Ranker, *then: Step) -> None:
        depths = [depth for _, depth in then]
        if any(isinstance(depth, bool) or not isinstance(depth, int) or depth < 1 for depth in depths):
            raise InputError(f"a cascade of depths {depths}; expected whole numbers from 1 on")
        if depths != sorted(depths, reverse=True):
            raise InputError(f"a cascade of depths {depths}; expected each at most as deep as the one before")
        self.first, self.then = first, then

    def rank(
        self,
        query: str,
        doc_ids: Sequence[str] | None = None,
        *,
        documents: Sequence[Document | str] | None = None,
        top_k: int | None = None,
        missing: Missing = "error",
        ladder: str | Sequence[tuple[str, int]] | None = None,
        budget_ms: float | None = None,
    ) -> Ranking:
        """Rank candidates as `Ranker.rank` does; `ladder` and `budget_ms` are for the first ranker.

        Hits: those of the last ranker, then what each passed over, the last one's first. Scores of different models cannot
        be compared: those of an earlier one are moved down together. Of what a later store lacks, `missing="skip"` keeps
        the place behind what it ranked. `timing.rungs` says who scored how many; `timing.head` is the last one's.
        Raises: as `Ranker.rank`; MissingDocument too for a text that a ranker without a store needs.
        """
        clock = Clock()
        how: dict[str, Any] = {"missing": missing, "ladder": ladder, "budget_ms": budget_ms}
        if doc_ids is None or missing == "encode":
            how["documents"] = documents
        ranking = self.first.rank(query, doc_ids, **how)
        timings, levels, scored = [ranking.timing], [], _scored(ranking)
        texts = {document.id: document for document in as_documents(documents)}
        for ranker, depth in self.then:
            ranking = _again(ranker, query, [doc_id for doc_id, _ in scored[:depth]], texts, missing)
            ranked = {hit.doc_id for hit in ranking}
            levels.append([pair for pair in scored if pair[0] not in ranked])
            scored = _scored(ranking)
            timings.append(ranking.timing)
        hits = tuple(Hit(doc_id, score) for doc_id, score in stacked([*levels, scored]))
        return Ranking(hits[:top_k], combine_timings(timings, clock))

    def warm_up(self, query: str, doc_ids: Sequence[str]) -> dict[str, Cost]:
        """Load every kernel, and measure the first ranker's heads as `Ranker.warm_up` does."""
        for ranker, _ in self.then:
            if ranker.store is not None:
                ranker.store.load_kernels()
        return self.first.warm_up(query, doc_ids)


def _again(ranker: Ranker, query: str, ids: Sequence[str], texts: dict[str, Document], missing: Missing) -> Ranking:
    """What one ranker makes of the ids passed on to it. Raises: MissingDocument."""
    known = [texts[doc_id] for doc_id in ids if doc_id in texts]
    if ranker.store is not None:
        return ranker.rank(query, ids, documents=known if missing == "encode" else None, missing=missing)
    if missing != "skip" and len(known) < len(ids):
        absent = [doc_id for doc_id in ids if doc_id not in texts]
        raise MissingDocument(f"{len(absent)} candidates without a text for {ranker.model.name}, nor a store: {absent[:3]!r}")
    return ranker.rank(query, documents=known)


def _scored(ranking: Ranking) -> Scored:
    return [(hit.doc_id, hit.score) for hit in ranking]
