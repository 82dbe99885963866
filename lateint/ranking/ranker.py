"""Ranking: candidates of a query by id from a store, or by text without one. The same code scores both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lateint.errors import InputError, MissingDocument, StoreMismatch
from lateint.heads.inputs import Query
from lateint.indexing.chunks import Chunks, check_fits
from lateint.indexing.codecs import pipelines
from lateint.indexing.compatibility import check_model
from lateint.indexing.store import Store
from lateint.model.document import Document, as_documents
from lateint.model.model import Model
from lateint.ranking.aggregate import Aggregate, score_documents
from lateint.ranking.candidates import EncodedTexts, encode_texts
from lateint.ranking.ladder import Cost, LadderPlan, LadderScorer
from lateint.results import Clock, Hit, Ranking

Missing = Literal["error", "skip", "encode"]
TEXTS_AT_ONCE = 1_024  # texts of pairs that are held encoded, and queries; bounds memory whatever the number of pairs


class Ranker:
    """Scores the candidates of a query. Safe to use from many threads at once.

    Args: `model`; `store`, opened, whose entries the model's head reads; `chunks` cuts texts that no store holds, a store
    says itself how its documents were cut; `aggregate` makes a document's score from those of its chunks: `max` (the
    default), `first`, `mean_top:K`, or `mean_cls`, which averages the CLS rows before they are classified.
    Raises: StoreMismatch if the store holds arrays of other weights, tokenizer, layout, codecs or chunks than these;
    InputError for chunks that do not fit the model, and an `aggregate` without chunks or unknown to the head.
    """

    def __init__(
        self, model: Model, store: Store | None = None, *, chunks: Chunks | None = None, aggregate: str | None = None
    ) -> None:
        self.model, self.store = model, store
        if store is not None:
            check_model(model, store)
        self.chunks = _resolve_chunks(chunks, store)
        if self.chunks is not None:
            check_fits(self.chunks, model)
        elif aggregate is not None:
            raise InputError(f"aggregate={aggregate!r}, but there are no chunks: documents are ranked whole")
        self.aggregate = Aggregate.parse(aggregate or "max")
        self.aggregate.check(model)
        self._through = pipelines(model) if store is None else dict(store.manifest.specs)
        self._climber = None if store is None else LadderScorer(model, store, self.aggregate)

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
        """Rank candidates by id (from the store), by text (`documents`), or both. Ids are those of documents, not chunks.

        Args: `doc_ids` candidates, each once; `documents` texts of candidates (a str is given its place as id), used
        alone, or with `doc_ids` and `missing="encode"` for ids that the store lacks; `top_k` keeps the best;
        `missing` what to do with ids that the store lacks: `error`, `skip`, or `encode`; `ladder`, e.g. "cosine:200": cheap
        heads score first and pass only so many on, see `lateint/ranking/ladder.py`; `budget_ms` makes each rung as deep as this
        time allows, after `warm_up`. Both are for candidates by id; `timing.rungs` says what was scored how.
        Raises: InputError for a repeated id, an empty query, top_k < 1, a ladder or budget that cannot be; MissingDocument;
        DamagedStore; ModelError for a score that is not finite.
        """
        _check_choices(top_k, missing)
        if doc_ids is None and documents is None:
            raise InputError("no candidates: give doc_ids, ids of the store, or documents, their texts")
        how = self._plan(ladder, budget_ms, documents is None)
        clock = Clock()
        texts = as_documents(documents)
        ids = [d.id for d in texts] if doc_ids is None else list(doc_ids)
        _refuse_repeats(ids)
        state = clock.time("compute", lambda: self.model.query(query))
        absent: Sequence[str] = ids
        scored: list[tuple[str, float]] = []
        if doc_ids is not None:
            scored, lacking = self._score_stored(clock, state, ids, how)
            absent = self._to_encode(lacking, missing, {d.id for d in texts})
        if absent:
            scored += self._score_texts(clock, state, [d for d in texts if d.id in set(absent)])
        hits = sorted((Hit(doc_id, score) for doc_id, score in scored), key=lambda hit: (-hit.score, hit.doc_id))
        return Ranking(tuple(hits[:top_k]), clock.timing(len(hits), self.model.method.head.name))

    def warm_up(self, query: str, doc_ids: Sequence[str]) -> dict[str, Cost]:
        """Load every kernel, and measure what each head costs on some documents of the store, as `budget_ms` needs to know.

        Returns: by head, milliseconds of a call and of a candidate. Raises: InputError without a store or documents.
        """
        return self._stored().warm_up(query, doc_ids)

    def _plan(self, ladder: Any, budget_ms: float | None, by_id: bool) -> LadderPlan | None:
        """How to climb, None for one head on all. Raises: InputError."""
        if ladder is None and budget_ms is None:
            return None
        if not by_id:
            raise InputError("a ladder and a budget are for candidates by id alone; leave documents= out")
        return self._stored().plan(ladder, budget_ms)

    def _score_stored(
        self, clock: Clock, state: Query, ids: Sequence[str], how: LadderPlan | None
    ) -> tuple[list[tuple[str, float]], Sequence[str]]:
        """Scores of the candidates that the store holds, and the ids that it lacks."""
        stored = self._stored()
        return stored.own.score(clock, state, ids) if how is None else stored.climb(clock, state, ids, how)

    def _score_texts(self, clock: Clock, state: Query, documents: Sequence[Document]) -> list[tuple[str, float]]:
        """Scores of candidates that are encoded now."""
        docs = clock.time("encode", lambda: self._encode(documents))
        scores = clock.time("compute", lambda: self._scores(state, docs))
        return [(document.id, score) for document, score in zip(documents, scores, strict=True)]

    def _stored(self) -> LadderScorer:
        if self._climber is None:
            raise InputError("candidates by id need a store; give Ranker(model, store) one, or pass documents=")
        return self._climber

    def _to_encode(self, absent: Sequence[str], missing: Missing, texts: set[str]) -> Sequence[str]:
        """Those of the ids that the store lacks which are encoded now."""
        if missing == "skip" or not absent:
            return ()
        if missing == "error":
            where = self._stored().own.store.path
            raise MissingDocument(f"{len(absent)} of the candidates are not in {where}: {list(absent[:3])!r}")
        if untold := [doc_id for doc_id in absent if doc_id not in texts]:
            raise MissingDocument(f"missing='encode' needs the texts of {untold[:3]!r} in documents=")
        return absent

    def _encode(self, documents: Sequence[Document]) -> EncodedTexts:
        return encode_texts(self.model, documents, self._through, self.chunks)

    def _scores(self, state: Query, docs: EncodedTexts) -> list[float]:
        return score_documents(self.model, state, docs.arrays, docs.sizes, self.aggregate)

    def logits(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Raw scores [n] float32 of (query, text) pairs, in their order: what `rank` sorts on.

        Cost: every text is encoded once, however often it stands there; every query once for 1,024 texts.
        """
        out = np.empty(len(pairs), dtype=np.float32)
        places: dict[str, list[int]] = {}
        for place, (_, text) in enumerate(pairs):
            places.setdefault(text, []).append(place)
        for texts in _batched(places, TEXTS_AT_ONCE):
            docs = self._encode([Document(str(at), text) for at, text in enumerate(texts)])
            groups: dict[str, list[tuple[int, int]]] = {}
            for at, text in enumerate(texts):
                for place in places[text]:
                    groups.setdefault(pairs[place][0], []).append((at, place))
            for queries in _batched(groups, TEXTS_AT_ONCE):
                for query, state in zip(queries, self.model.queries(queries), strict=True):
                    chosen, own = zip(*groups[query], strict=True)
                    out[list(own)] = self._scores(state, docs.take(chosen))
        return out

    def predict(
        self,
        pairs: Sequence[tuple[str, str]] | tuple[str, str],
        activation_fn: Callable[[Any], Any] | None = None,
        batch_size: int = 32,
    ) -> Any:
        """Scores of pairs as sentence-transformers' CrossEncoder gives them: a sigmoid of the logit unless told otherwise.

        A single pair gives a single number. The activation gets a float32 torch tensor, never a half-precision one.
        `batch_size` is part of that contract; batches here are sized by tokens.
        Raises: InputError for batch_size < 1.
        """
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}; expected at least 1")
        single = len(pairs) == 2 and isinstance(pairs[0], str)
        chosen: Any = [pairs] if single else pairs
        scores = self._activated(self.logits(chosen), activation_fn)
        return scores[0] if single else scores

    def rank_texts(
        self, query: str, texts: Sequence[str], *, top_k: int | None = None, return_documents: bool = False
    ) -> list[dict[str, Any]]:
        """Rank texts as sentence-transformers' CrossEncoder.rank does: `{"corpus_id", "score", "text"?}`, best first."""
        width = len(str(len(texts)))  # ids of equal length: ties stand in the order of the texts
        documents = [Document(f"{place:0{width}}", text) for place, text in enumerate(texts)]
        hits = self.rank(query, documents=documents, top_k=top_k)
        scores = self._activated(np.array([hit.score for hit in hits], dtype=np.float32), None)
        results: list[dict[str, Any]] = []
        for hit, score in zip(hits, scores.tolist(), strict=True):
            results.append({"corpus_id": int(hit.doc_id), "score": score})
            if return_documents:
                results[-1]["text"] = texts[int(hit.doc_id)]
        return results

    @staticmethod
    def _activated(logits: NDArray[np.float32], activation_fn: Callable[[Any], Any] | None) -> NDArray[Any]:
        import torch

        activation = torch.sigmoid if activation_fn is None else activation_fn
        found: NDArray[Any] = activation(torch.from_numpy(logits)).numpy()
        return found


def _resolve_chunks(chunks: Chunks | None, store: Store | None) -> Chunks | None:
    """How documents are cut: what the store says, if there is one. Raises: StoreMismatch if it says something else."""
    recorded = chunks if store is None else store.chunks
    if store is not None and chunks not in (None, recorded):
        held = "whole documents" if recorded is None else f"chunks {recorded}"
        raise StoreMismatch(f"{store.path} holds {held}, not chunks {chunks}; leave chunks out, or index again")
    return recorded


def _check_choices(top_k: int | None, missing: Missing) -> None:
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k={top_k}; expected at least 1, or None for all")
    if missing not in ("error", "skip", "encode"):
        raise InputError(f"missing={missing!r}; expected 'error', 'skip' or 'encode'")


def _refuse_repeats(ids: Sequence[str]) -> None:
    if len(set(ids)) != len(ids):
        repeated = next(doc_id for doc_id, times in Counter(ids).items() if times > 1)
        raise InputError(f"candidate {repeated!r} is given twice; expected each id once")


def _batched(items: Iterable[str], n: int) -> Iterator[tuple[str, ...]]:
    """The items, n at a time."""
    waiting = iter(items)
    while some := tuple(islice(waiting, n)):
        yield some
