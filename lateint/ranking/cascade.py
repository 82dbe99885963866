"""Cascades: several rankers in sequence, each over its own store; each re-ranks the best of the one before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lateint.errors import InputError, MissingDocument
from lateint.model.document import Document, as_documents
from lateint.ranking.checks import Missing, check_choices, refuse_repeats
from lateint.ranking.ladder import Cost, Ladder, Scored, merge_levels
from lateint.ranking.ranker import Ranker
from lateint.results import Clock, Hit, Ranking, combine_timings
from lateint_store.arguments import check_kind, shown

CascadeStep = tuple[Ranker, int]
"""A ranker, and the number of candidates that it re-ranks: the best of the ranker before it."""


class Cascade:
    """Rank with `first`, then re-rank the best with each of `then`. Safe to use from many threads at once.

    A ladder runs several heads of one model over one store; a cascade runs several models. A full cross-encoder over ten
    candidates is affordable. A ranker without a store takes the texts of its candidates from `documents`.
    Raises: InputError for a depth below 1 or above the one before.
    """

    def __init__(self, first: Ranker, *then: CascadeStep) -> None:
        _check_rankers(first, then)
        depths = [depth for _, depth in then]
        if any(isinstance(depth, bool) or not isinstance(depth, int) or depth < 1 for depth in depths):
            raise InputError(f"a cascade of depths {depths}; expected whole numbers of at least 1")
        if depths != sorted(depths, reverse=True):
            raise InputError(f"a cascade of depths {depths}; expected depths that do not grow")
        self.first, self.then = first, then

    def rank(
        self,
        query: str,
        doc_ids: Iterable[str] | None = None,
        *,
        documents: Iterable[Document | str] | None = None,
        top_k: int | None = None,
        missing: Missing = "error",
        ladder: Ladder | None = None,
        budget_ms: float | None = None,
    ) -> Ranking:
        """Rank candidates as `Ranker.rank` does; `ladder` and `budget_ms` apply to the first ranker only.

        Hits: those of the last ranker first, then those that each earlier ranker did not pass on. Scores of different
        models cannot be compared, so the scores of an earlier ranker are shifted down together. With `missing="skip"`,
        documents that a later store lacks follow the ones that it ranked. `timing.rungs` has one entry per model or head;
        `timing.head` is the last one.
        Raises: as `Ranker.rank`; also MissingDocument if a ranker without a store needs a text that is not given.
        """
        check_choices(top_k, missing)
        clock = Clock()
        texts = None if documents is None else as_documents(documents)
        by_id = {document.id: document for document in texts or ()}
        refuse_repeats([document.id for document in texts or ()])
        later_stored = all(ranker.store is not None for ranker, _ in self.then)  # then only the first ranker can use texts
        first = texts if doc_ids is None or missing == "encode" or later_stored else None
        ranking = self.first.rank(query, doc_ids, documents=first, missing=missing, ladder=ladder, budget_ms=budget_ms)
        timings, levels, scored = [ranking.timing], [], _scored(ranking)
        for ranker, depth in self.then:
            ranking = _rerank(ranker, query, [doc_id for doc_id, _ in scored[:depth]], by_id, missing)
            ranked = {hit.doc_id for hit in ranking}
            levels.append([pair for pair in scored if pair[0] not in ranked])
            scored = _scored(ranking)
            timings.append(ranking.timing)
        hits = tuple(Hit(doc_id, score) for doc_id, score in merge_levels([*levels, scored]))
        return Ranking(hits[:top_k], combine_timings(timings, clock))

    def warm_up(self, query: str, doc_ids: Iterable[str]) -> dict[str, Cost]:
        """Prepare every store, and measure the heads of the first ranker as `Ranker.warm_up` does."""
        for ranker, _ in self.then:
            if ranker.store is not None:
                ranker.store.prepare()
        return self.first.warm_up(query, doc_ids)


def _check_rankers(first: object, then: Sequence[object]) -> None:
    """Refuse what is no ranker, or no pair of a ranker and a depth. Raises: InputError."""
    check_kind(first, "the first ranker of a cascade", Ranker, "a lateint.Ranker")
    for step in then:
        if not (isinstance(step, tuple) and len(step) == 2 and isinstance(step[0], Ranker)):
            raise InputError(f"a step of a cascade is {shown(step)}; expected a pair (Ranker, depth)")


def _rerank(ranker: Ranker, query: str, ids: Sequence[str], texts: dict[str, Document], missing: Missing) -> Ranking:
    """Rank the ids that were passed on to a ranker. Raises: MissingDocument."""
    known = [texts[doc_id] for doc_id in ids if doc_id in texts]
    if ranker.store is not None:
        return ranker.rank(query, ids, documents=known if missing == "encode" else None, missing=missing)
    if missing != "skip" and len(known) < len(ids):
        absent = [doc_id for doc_id in ids if doc_id not in texts]
        raise MissingDocument(
            f"{ranker.model.name} has no store, and {len(absent)} candidates without a text in documents=: {absent[:3]!r}"
        )
    return ranker.rank(query, documents=known)


def _scored(ranking: Ranking) -> Scored:
    return [(hit.doc_id, hit.score) for hit in ranking]
