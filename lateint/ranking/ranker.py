"""Rank the candidates of a query: by id from a store, or by text without one. The same code scores both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, NotRequired, TypedDict, cast, overload

import numpy as np
import torch
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
from lateint.ranking.ladder import Cost, Ladder, LadderPlan, Scored
from lateint.ranking.ladder_scorer import LadderScorer
from lateint.results import Clock, Hit, Ranking

Missing = Literal["error", "skip", "encode"]
Activation = Callable[[torch.Tensor], torch.Tensor]
_TEXTS_AT_ONCE = 1_024  # encoded texts, and queries, in memory at a time: bounds memory for any number of pairs


class TextHit(TypedDict):
    """A result of `Ranker.rank_texts`; `corpus_id` is the index of the text."""

    corpus_id: int
    score: float
    text: NotRequired[str]


class Ranker:
    """Score and sort the candidates of a query. Safe to use from many threads at once.

    Args: `model`; `store`, an open store of arrays that the model's head reads; `chunks`, how to cut texts without a store
    (a store records how its documents were cut); `aggregate`, how to compute a document's score from its chunks: `max`
    (default), `first`, `mean_top:K`, or `mean_cls`, which averages the CLS rows and classifies the mean.
    Raises: StoreMismatch if weights, tokenizer, layout, codecs or chunks differ from those of the store; InputError for
    chunks that do not fit the model, and for an `aggregate` without chunks or one that the head does not support.
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
            raise InputError(f"aggregate={aggregate!r} needs chunks, but documents are ranked whole: leave aggregate out")
        self.aggregate = Aggregate.parse(aggregate or "max")
        self.aggregate.check(model)
        self._through = pipelines(model) if store is None else dict(store.manifest.specs)
        self._ladder = None if store is None else LadderScorer(model, store, self.aggregate)

    def rank(
        self,
        query: str,
        doc_ids: Sequence[str] | None = None,
        *,
        documents: Sequence[Document | str] | None = None,
        top_k: int | None = None,
        missing: Missing = "error",
        ladder: Ladder | None = None,
        budget_ms: float | None = None,
    ) -> Ranking:
        """Rank candidates by id (from the store), by text (`documents`), or both. Ids are those of documents, not chunks.

        Args: `doc_ids`, candidates without repeats; `documents`, texts of candidates (the id of a str is its index), given
        alone, or with `doc_ids` and `missing="encode"` for ids that the store lacks; `top_k` keeps the best; `missing`
        handles ids that the store lacks: `error`, `skip`, or `encode`; `ladder`, e.g. "cosine:200": a cheap head scores all
        and passes its best 200 on, see `lateint/ranking/ladder.py`; `budget_ms` limits each rung to the candidates that
        this time allows, after `warm_up`. Both need candidates by id; `timing.rungs` has candidates and time of each head.
        Raises: InputError for a repeated id, an empty query, top_k < 1, an invalid ladder or budget; MissingDocument;
        DamagedStore; ModelError for a score that is not finite.
        """
        _check_choices(top_k, missing)
        if doc_ids is None and documents is None:
            raise InputError("no candidates: give doc_ids, ids of the store, or documents, their texts")
        plan = self._plan(ladder, budget_ms, documents is None)
        clock = Clock()
        texts = as_documents(documents)
        ids = [d.id for d in texts] if doc_ids is None else list(doc_ids)
        _refuse_repeats(ids)
        with clock.phase("compute"):
            state = self.model.query(query)
        absent: Sequence[str] = ids
        scored: Scored = []
        if doc_ids is not None:
            scored, lacking = self._score_stored(clock, state, ids, plan)
            absent = self._to_encode(lacking, missing, {d.id for d in texts})
        if absent:
            scored += self._score_texts(clock, state, [d for d in texts if d.id in set(absent)])
        hits = sorted((Hit(doc_id, score) for doc_id, score in scored), key=lambda hit: (-hit.score, hit.doc_id))
        return Ranking(tuple(hits[:top_k]), clock.timing(len(hits), self.model.method.head.name))

    def warm_up(self, query: str, doc_ids: Sequence[str]) -> dict[str, Cost]:
        """Load every kernel, and measure the cost of each head on some documents of the store; `budget_ms` needs it.

        Returns: by head, milliseconds per call and per candidate. Raises: InputError without a store or documents.
        """
        return self._ladder_scorer().warm_up(query, doc_ids)

    def _plan(self, ladder: Ladder | None, budget_ms: float | None, by_id: bool) -> LadderPlan | None:
        """Check ladder and budget; None if the model's own head scores all. Raises: InputError."""
        if ladder is None and budget_ms is None:
            return None
        if not by_id:
            raise InputError("ladder= and budget_ms= need candidates by id alone; leave documents= out")
        return self._ladder_scorer().plan(ladder, budget_ms)

    def _score_stored(
        self, clock: Clock, state: Query, ids: Sequence[str], plan: LadderPlan | None
    ) -> tuple[Scored, Sequence[str]]:
        """Return the scores of the stored candidates, and the ids that the store lacks."""
        scorer = self._ladder_scorer()
        return scorer.own.score(clock, state, ids) if plan is None else scorer.run(clock, state, ids, plan)

    def _score_texts(self, clock: Clock, state: Query, documents: Sequence[Document]) -> Scored:
        """Encode and score candidates that are not stored."""
        with clock.phase("encode"):
            docs = self._encode(documents)
        with clock.phase("compute"):
            scores = self._scores(state, docs)
        return [(document.id, score) for document, score in zip(documents, scores, strict=True)]

    def _ladder_scorer(self) -> LadderScorer:
        if self._ladder is None:
            raise InputError("candidates by id need a store: pass one to Ranker(model, store), or pass documents=")
        return self._ladder

    def _to_encode(self, absent: Sequence[str], missing: Missing, texts: set[str]) -> Sequence[str]:
        """Select the ids to encode from those that the store lacks."""
        if missing == "skip" or not absent:
            return ()
        if missing == "error":
            path = self._ladder_scorer().own.store.path
            raise MissingDocument(f"{len(absent)} of the candidates are not in {path}: {list(absent[:3])!r}")
        if without_text := [doc_id for doc_id in absent if doc_id not in texts]:
            raise MissingDocument(f"missing='encode' needs the texts of {without_text[:3]!r} in documents=")
        return absent

    def _encode(self, documents: Sequence[Document]) -> EncodedTexts:
        return encode_texts(self.model, documents, self._through, self.chunks)

    def _scores(self, state: Query, docs: EncodedTexts) -> list[float]:
        return score_documents(self.model, state, docs.arrays, docs.sizes, self.aggregate)

    def logits(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return the raw scores of (query, text) pairs, by which `rank` sorts: float32 [n] in the order of the pairs.

        Cost: every distinct text is encoded once; every query once per 1,024 texts.
        """
        out = np.empty(len(pairs), dtype=np.float32)
        pairs_by_text: dict[str, list[int]] = {}
        for index, (_, text) in enumerate(pairs):
            pairs_by_text.setdefault(text, []).append(index)
        for texts in _batched(pairs_by_text, _TEXTS_AT_ONCE):
            docs = self._encode([Document(str(i), text) for i, text in enumerate(texts)])
            groups: dict[str, list[tuple[int, int]]] = {}
            for i, text in enumerate(texts):
                for index in pairs_by_text[text]:
                    groups.setdefault(pairs[index][0], []).append((i, index))
            for queries in _batched(groups, _TEXTS_AT_ONCE):
                for query, state in zip(queries, self.model.queries(queries), strict=True):
                    chosen, indices = zip(*groups[query], strict=True)
                    out[list(indices)] = self._scores(state, docs.take(chosen))
        return out

    @overload
    def predict(self, pairs: tuple[str, str], activation_fn: Activation | None = None, batch_size: int = 32) -> np.float32: ...

    @overload
    def predict(
        self, pairs: Sequence[tuple[str, str]], activation_fn: Activation | None = None, batch_size: int = 32
    ) -> NDArray[np.float32]: ...

    def predict(
        self,
        pairs: Sequence[tuple[str, str]] | tuple[str, str],
        activation_fn: Activation | None = None,
        batch_size: int = 32,
    ) -> NDArray[np.float32] | np.float32:
        """Score pairs as sentence-transformers' CrossEncoder does: a sigmoid of the logit, or another `activation_fn`.

        A single pair gives a single number. The activation is given a float32 torch tensor, never a half-precision one.
        `batch_size` exists for compatibility; batches are sized by tokens.
        Raises: InputError for batch_size < 1.
        """
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}; expected at least 1")
        single = len(pairs) == 2 and isinstance(pairs[0], str)
        batch = cast(Sequence[tuple[str, str]], [pairs] if single else pairs)
        scores = _activate(self.logits(batch), activation_fn)
        return scores[0] if single else scores

    def rank_texts(
        self, query: str, texts: Sequence[str], *, top_k: int | None = None, return_documents: bool = False
    ) -> list[TextHit]:
        """Rank texts as sentence-transformers' CrossEncoder.rank does: `{"corpus_id", "score", "text"?}`, best first."""
        width = len(str(len(texts)))  # with ids of equal length, ties are sorted in the order of the texts
        documents = [Document(f"{index:0{width}}", text) for index, text in enumerate(texts)]
        hits = self.rank(query, documents=documents, top_k=top_k)
        scores = _activate(np.array([hit.score for hit in hits], dtype=np.float32), None)
        results: list[TextHit] = []
        for hit, score in zip(hits, scores.tolist(), strict=True):
            results.append({"corpus_id": int(hit.doc_id), "score": score})
            if return_documents:
                results[-1]["text"] = texts[int(hit.doc_id)]
        return results


def _activate(logits: NDArray[np.float32], activation_fn: Activation | None) -> NDArray[np.float32]:
    activation = torch.sigmoid if activation_fn is None else activation_fn
    scores: NDArray[np.float32] = activation(torch.from_numpy(logits)).numpy()
    return scores


def _resolve_chunks(chunks: Chunks | None, store: Store | None) -> Chunks | None:
    """Return the chunks of the store if there is one, else `chunks`. Raises: StoreMismatch if the two differ."""
    recorded = chunks if store is None else store.chunks
    if store is not None and chunks not in (None, recorded):
        held = "whole documents" if recorded is None else f"chunks {recorded}"
        raise StoreMismatch(f"{store.path} holds {held}, not chunks {chunks}; leave chunks= out, or index again")
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
    """Yield tuples of n items; the last may be shorter."""
    iterator = iter(items)
    while batch := tuple(islice(iterator, n)):
        yield batch
