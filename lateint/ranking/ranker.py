"""Rank the candidates of a query: by id from a store, or by text without one. The same code scores both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, starmap
from operator import itemgetter
from typing import Any, Literal, NotRequired, TypedDict, Unpack, cast, overload

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lateint.errors import InputError, MissingDocument
from lateint.heads.inputs import Query
from lateint.indexing.chunks import Chunks, check_fits
from lateint.indexing.codecs import pipelines
from lateint.indexing.model_match import ModelMatch
from lateint.indexing.store import Store
from lateint.model.activation import Activation
from lateint.model.document import Document, as_document
from lateint.model.model import Model, check_is_model
from lateint.ranking.aggregate import Aggregate, score_documents
from lateint.ranking.candidates import EncodedTexts, encode_texts
from lateint.ranking.checks import Missing, check_choices, check_store, read_candidates, resolve_chunks
from lateint.ranking.explain import explain_stored, explain_text
from lateint.ranking.ladder import Cost, Ladder, LadderPlan, Scored
from lateint.ranking.ladder_scorer import LadderScorer
from lateint.ranking.many import rank_many
from lateint.ranking.pairs import (
    CrossEncoderOptions,
    TextPair,
    activate,
    as_pairs,
    check_options,
    group_by_query,
    is_single,
    progress_bar,
    split_positional,
)
from lateint.results import Clock, Explanation, Hit, Ranking
from lateint_store.arguments import as_strings, check_kind

__all__ = ["Activation", "Missing", "Ranker", "TextHit"]

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
        check_is_model(model)
        self.model, self.store = model, store
        if store is not None:
            check_store(store)
        self._match = None if store is None else ModelMatch(model, store)
        self.chunks = resolve_chunks(chunks, store)
        if self.chunks is not None:
            check_fits(self.chunks, model)
        elif aggregate is not None:
            raise InputError(f"aggregate={aggregate!r} needs chunks, but documents are ranked whole: leave aggregate out")
        self.aggregate = Aggregate.parse("max" if aggregate is None else aggregate)
        self.aggregate.check(model)
        self.through = pipelines(model) if store is None else dict(store.manifest.specs)
        self._ladder = None if store is None else LadderScorer(model, store, self.aggregate)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle model and store, and make the ranker of both again; `warm_up` has to be called again."""
        return _make_ranker, (self.model, self.store, self.chunks, None if self.chunks is None else str(self.aggregate))

    def rank(
        self,
        query: str | Query,
        doc_ids: Iterable[str] | None = None,
        *,
        documents: Iterable[Document | str] | None = None,
        top_k: int | None = None,
        missing: Missing = "error",
        ladder: Ladder | None = None,
        budget_ms: float | None = None,
    ) -> Ranking:
        """Rank candidates by id (from the store), by text (`documents`), or both. Ids are those of documents, not chunks.

        Args: `query`, its text, or what `model.queries` made of it; `doc_ids`, candidates without repeats; `documents`, texts
        of candidates (the id of a str is its index), given alone, or with `doc_ids` and `missing="encode"` for ids that the
        store lacks; `top_k` keeps the best; `missing` handles ids that the store lacks: `error`, `skip`, or `encode`; `ladder`,
        e.g. "cosine:200": a cheap head scores all and passes its best 200 on, see `lateint/ranking/ladder.py`; `budget_ms`
        limits each rung to the candidates that this time allows, after `warm_up`. Both need candidates by id; `timing.rungs`
        has candidates and time of each head.
        Raises: InputError for a repeated id, an empty query, top_k < 1, an invalid ladder or budget, documents that
        `missing` would not use; MissingDocument; DamagedStore; ModelError for a score that is not finite.
        """
        check_choices(top_k, missing)
        plan = self._plan(ladder, budget_ms, documents is None)
        clock = Clock()
        ids, texts = read_candidates(doc_ids, documents, missing)
        with clock.phase("compute"):
            state = query if isinstance(query, Query) else self.model.query(query)
        clock.cut_queries += state.cut
        absent: Sequence[str] = ids
        scored: Scored = []
        if doc_ids is not None:
            scored, lacking = self._score_stored(clock, state, ids, plan)
            absent = self._to_encode(lacking, missing, {d.id for d in texts})
        if absent:
            scored += self._score_texts(clock, state, [d for d in texts if d.id in set(absent)])
        by_id = sorted(scored)  # equal scores stay in this order
        hits = tuple(starmap(Hit, sorted(by_id, key=itemgetter(1), reverse=True)[:top_k]))
        return Ranking(hits, clock.timing(len(scored), self.model.method.head.name))

    def rank_many(
        self,
        queries: Iterable[tuple[str | Query, Sequence[str]]],
        *,
        top_k: int | None = None,
        missing: Literal["error", "skip"] = "error",
        ladder: Ladder | None = None,
    ) -> Iterator[Ranking]:
        """Rank the stored candidates of many queries: yields what `rank` returns for each (query, doc_ids), in their order.

        Queries are encoded 16 at a time, and as many threads as torch has work side by side. Scores equal those of `rank` but
        for the last digits, as the sums of a batch round differently.
        Raises: as `rank`, for a query, after the rankings of those before it.
        """
        check_choices(top_k, missing)
        if missing not in ("error", "skip"):
            raise InputError(f"missing={missing!r} needs texts, which rank_many does not take; expected 'error' or 'skip'")

        def one(query: str | Query, doc_ids: Sequence[str]) -> Ranking:
            return self.rank(query, doc_ids, top_k=top_k, missing=missing, ladder=ladder)

        return rank_many(self.model, one, queries)

    def explain(self, query: str, doc_id: str | None = None, *, text: Document | str | None = None) -> Explanation:
        """Explain a document's score: which query word met which of its words, and the share that each brings.

        Args: `doc_id`, a document of the store, whose text is not needed; or `text`, a document that is encoded now. Its
        score is what `rank` gives; of several chunks, those that the score is made of are explained.
        Raises: InputError for a head that is no sum of maxima, for a query without a word, and unless exactly one of both
        is given; MissingDocument; DamagedStore. Cost: that of ranking one document, whose score is computed twice.
        """
        if doc_id is not None and text is None:
            return explain_stored(self._ladder_scorer().own, query, doc_id)
        if text is not None and doc_id is None:
            document = as_document(text, 0, "text")
            return explain_text(self.model, query, document, self._encode([document]), self.chunks, self.aggregate)
        raise InputError("explain takes one document: give either doc_id, an id of the store, or text=")

    def warm_up(self, query: str, doc_ids: Iterable[str]) -> dict[str, Cost]:
        """Load every kernel, check the id index, and measure the cost of each head on some documents; `budget_ms` needs it.

        Without it, the first rankings do the first two, which then take longer; after a commit of a writer, the first one with
        an id that the store lacks checks the index again, unless `store.prepare()` has done it.
        Returns: by head, milliseconds per call and per candidate. Raises: InputError without a store or documents.
        """
        return self._ladder_scorer().warm_up(query, as_strings(doc_ids, "doc_ids"))

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
        """Encode and score candidates that are not stored. Equal texts are scored once, so they tie."""
        places: dict[tuple[str, str], int] = {}
        texts = [places.setdefault((document.title, document.text), len(places)) for document in documents]
        distinct = [Document(str(index), text, title) for index, (title, text) in enumerate(places)]
        with clock.phase("encode"):
            docs = self._encode(distinct)
        clock.cut_documents += docs.cut
        with clock.phase("compute"):
            scores = self._scores(state, docs)
        return [(document.id, scores[index]) for document, index in zip(documents, texts, strict=True)]

    def _ladder_scorer(self) -> LadderScorer:
        if self._ladder is None or self._match is None:
            raise InputError("candidates by id need a store: pass one to Ranker(model, store), or pass documents=")
        self._match.check()
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
        return encode_texts(self.model, documents, self.through, self.chunks)

    def _scores(self, state: Query, docs: EncodedTexts) -> list[float]:
        return score_documents(self.model, state, docs.arrays, docs.sizes, self.aggregate)

    def logits(self, pairs: Iterable[TextPair]) -> NDArray[np.float32]:
        """Return the raw scores of (query, text) pairs, by which `rank` sorts: float32 [n] in the order of the pairs.

        Cost: every distinct text is encoded once; every query once per 1,024 texts.
        """
        return self._logits(as_pairs(pairs))

    def _logits(self, pairs: Sequence[TextPair], show_progress: bool = False) -> NDArray[np.float32]:
        out = np.empty(len(pairs), dtype=np.float32)
        pairs_by_text: dict[str, list[int]] = {}
        for index, (_, text) in enumerate(pairs):
            pairs_by_text.setdefault(text, []).append(index)
        with progress_bar(len(pairs_by_text) if show_progress else None) as advance:
            for texts in _batched(pairs_by_text, _TEXTS_AT_ONCE):
                docs = self._encode([Document(str(i), text) for i, text in enumerate(texts)])
                places = group_by_query(pairs, [pairs_by_text[text] for text in texts])
                for queries in _batched(places, _TEXTS_AT_ONCE):
                    for query, state in zip(queries, self.model.queries(queries), strict=True):
                        scores = self._scores(state, docs.take(list(places[query])))
                        for score, indices in zip(scores, places[query].values(), strict=True):
                            out[indices] = score
                advance(len(texts))
        return out

    @overload
    def predict(self, pairs: TextPair, activation_fn: Activation | int | None = None, batch_size: int = 32) -> np.float32: ...

    @overload
    def predict(
        self,
        pairs: Iterable[TextPair],
        activation_fn: Activation | int | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        *,
        convert_to_numpy: Literal[True] = True,
        convert_to_tensor: Literal[False] = False,
        **options: Unpack[CrossEncoderOptions],
    ) -> NDArray[np.float32]: ...

    @overload
    def predict(
        self,
        pairs: Iterable[TextPair] | TextPair,
        activation_fn: Activation | int | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        *,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        **options: Unpack[CrossEncoderOptions],
    ) -> NDArray[np.float32] | np.float32 | Tensor | list[Tensor]: ...

    def predict(
        self,
        pairs: Iterable[TextPair] | TextPair,
        activation_fn: Activation | int | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        *,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        **options: Unpack[CrossEncoderOptions],
    ) -> NDArray[np.float32] | np.float32 | Tensor | list[Tensor]:
        """Score pairs as sentence-transformers' CrossEncoder does: its activation applied to `logits`.

        The activation is `activation_fn`, by default the checkpoint's own (`Model.activation`): identity, unless the
        checkpoint records a sigmoid; those that ship record one that was fitted to labelled pairs. It is given a float32
        torch tensor. A plain sigmoid rounds logits above 16 to 1: sort `logits` then. A single pair gives a single number.
        Args: `batch_size` is accepted, also in second place; batches are sized by tokens. `show_progress_bar` counts texts
        on stderr. `convert_to_tensor` returns a tensor, `convert_to_numpy=False` a list of tensors. `options`: see
        `CrossEncoderOptions`.
        Raises: InputError for batch_size < 1, and for options that cannot be honoured.
        """
        check_options(options)
        check_kind(show_progress_bar, "show_progress_bar", bool | None, "True, False or None")
        single = is_single(pairs)
        batch = as_pairs([cast(TextPair, pairs)] if single else cast(Iterable[TextPair], pairs))
        activation = split_positional(activation_fn, batch_size)
        scores = activate(self.model, self._logits(batch, bool(show_progress_bar)), activation)
        if convert_to_tensor or not convert_to_numpy:
            return scores[0] if single else scores if convert_to_tensor else list(scores)
        host: NDArray[np.float32] = scores.numpy()
        return host[0] if single else host

    def rank_texts(
        self,
        query: str,
        texts: Iterable[str],
        top_k: int | None = None,
        return_documents: bool = False,
        activation_fn: Activation | None = None,
        *,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        **options: Unpack[CrossEncoderOptions],
    ) -> list[TextHit]:
        """Rank texts as sentence-transformers' CrossEncoder.rank does: `{"corpus_id", "score", "text"?}`, best first.

        Scores and options are those of `predict`; the order is that of the logits. No progress is shown.
        """
        check_options(options)
        activation = split_positional(activation_fn, batch_size)
        given = as_strings(texts, "texts", "texts")
        width = len(str(len(given)))  # with ids of equal length, ties are sorted in the order of the texts
        documents = [Document(f"{index:0{width}}", text) for index, text in enumerate(given)]
        hits = self.rank(query, documents=documents, top_k=top_k)
        scores = activate(self.model, np.array([hit.score for hit in hits], dtype=np.float32), activation)
        results: list[TextHit] = []
        for hit, score in zip(hits, scores.tolist(), strict=True):
            results.append({"corpus_id": int(hit.doc_id), "score": score})
            if return_documents:
                results[-1]["text"] = given[int(hit.doc_id)]
        return results


def _make_ranker(model: Model, store: Store | None, chunks: Chunks | None, aggregate: str | None) -> Ranker:
    return Ranker(model, store, chunks=chunks, aggregate=aggregate)


def _batched(items: Iterable[str], n: int) -> Iterator[tuple[str, ...]]:
    """Yield tuples of n items; the last may be shorter."""
    iterator = iter(items)
    while batch := tuple(islice(iterator, n)):
        yield batch
