"""Answer one request: the stored candidates, then the texts, each scored as `Ranker.rank` scores them, in one list."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from lateint.cluster.messages import ShardFailure
from lateint.cluster.set_ranking import SetRanking
from lateint.errors import InputError
from lateint.heads.inputs import Query
from lateint.model.document import Document
from lateint.ranking.aggregate import score_documents
from lateint.ranking.ladder import merge_levels
from lateint.results import Explanation, Ranking, Timing
from lateint.serving.caching import limited
from lateint.serving.cluster_engine import AnyEngine, ClusterEngine
from lateint.serving.encoding import EncodingLane, ReadyTexts
from lateint.serving.engine import Engine
from lateint.serving.failures import incomplete, invalid, unknown_ids
from lateint.serving.gathering import QueryGatherer
from lateint.serving.pool import ScorerPool
from lateint.serving.requests import RerankAnswer, RerankRequest, Usage

_EXPLAINED = 10  # best results that are explained


@dataclass(frozen=True, slots=True)
class _Stored:
    """The stored candidates, ranked, and the texts that are still to be encoded; `query_ms`: spent on the query in this job."""

    state: Query
    ranking: Ranking | None
    texts: list[str]
    digest: str
    query_ms: float
    unscored: bool
    failures: Sequence[ShardFailure] = ()


@dataclass(frozen=True, slots=True)
class _Scores:
    """Raw scores by id and by text, and what they took; `unscored`: the budget allowed no head to score the stored ones."""

    by_id: Mapping[str, float]
    by_text: Mapping[str, float]
    digest: str
    timing: Timing | None
    usage: Usage
    encode_ms: float = 0.0
    compute_ms: float = 0.0
    unscored: bool = False
    failures: Sequence[ShardFailure] = ()


class RequestRanker:
    """The one handler of all shapes."""

    def __init__(self, pool: ScorerPool, gatherer: QueryGatherer, lane: EncodingLane) -> None:
        self._pool, self._gatherer, self._lane = pool, gatherer, lane

    async def answer(self, engine: AnyEngine, request: RerankRequest, budget_ms: float | None = None) -> RerankAnswer:
        """Rank the candidates of a request. `budget_ms`: what the load of the service allows, beside the request's own.

        A request that comes while nothing runs takes one job of the pool, its query included; a job costs a change of threads.
        Raises: Refused, InputError, MissingDocument, DamagedStore, StoreMismatch, StoreNotFound, ModelError.
        """
        started = time.perf_counter()
        budget = min(filter(None, (request.budget_ms, budget_ms)), default=None)
        if isinstance(engine, ClusterEngine):
            return await self._by_owners(engine, request, budget, started)
        if engine.cascade is not None:
            given = any(text is not None for text in request.texts)
            run = self._pool.run_in_background if given else self._pool.run
            return await run(_answer_by_cascade, engine, request, budget, started, self._lane.most_tokens)
        state = None if self._gatherer.idle else await self._gatherer.state(engine.model, request.query)
        found = await self._pool.run(_rank_ids, engine, request, state, budget, started)
        return found if isinstance(found, RerankAnswer) else await self._encode((engine, request, started), found)

    async def _by_owners(
        self, engine: ClusterEngine, request: RerankRequest, budget: float | None, started: float
    ) -> RerankAnswer:
        """Rank the ids by the owners of a set, and texts here."""
        if request.explain:
            raise InputError("explain reads stored states, which owners keep; ask a service that holds the store itself")
        ids, ranking = distinct(request.ids), None
        _check_choices(request, ids)
        if ids:
            ranking = await engine.rank(request.query, ids, request.ladder, budget)
            if _is_unscored(ranking, budget) and budget != request.budget_ms:  # the load alone never leaves the given order
                ranking = await engine.rank(request.query, ids, [(engine.heads[0], 1)], None)
        failures = () if ranking is None else ranking.failures
        if failures and not request.partial:
            raise incomplete(failures)
        by_id = _by_id(ranking)
        lost = [doc_id for failure in failures for doc_id in failure.ids]
        texts = _texts_to_encode(request, by_id | dict.fromkeys(lost, 0.0))
        if ranking is None or texts:
            state = await self._gatherer.state(engine.model, request.query)
            stored = _Stored(state, ranking, texts, engine.cluster.digest, 0.0, _is_unscored(ranking, budget), failures)
            return await self._encode((engine, request, started), stored)
        _check_whole(request, bool(ranking.timing.cut_queries), 0)
        return await self._pool.run(_of_owners, engine, request, ranking, _is_unscored(ranking, budget), started)

    async def _encode(self, about: tuple[AnyEngine, RerankRequest, float], found: _Stored) -> RerankAnswer:
        """Encode the texts of a request, and rank them with its stored candidates."""
        engine, request, _ = about
        encoding = time.perf_counter()
        ready = await self._lane.encode(engine.ranker, found.texts, reuse=not request.whole)
        encode_ms = 1e3 * (time.perf_counter() - encoding)
        return await self._pool.run_in_background(_with_texts, about, found, ready, encode_ms)


def distinct(values: Iterable[str | None]) -> list[str]:
    """Return the values that are given, each once, in order."""
    return [value for value in dict.fromkeys(values) if value is not None]


def _rank_ids(
    engine: Engine, request: RerankRequest, state: Query | None, budget: float | None, started: float
) -> RerankAnswer | _Stored:
    """Rank the ids that the store holds; return the answer unless there are texts to encode."""
    clock = time.perf_counter()
    if state is None:
        state = engine.model.query(request.query)
    query_ms = 1e3 * (time.perf_counter() - clock)
    ids, digest, ranking = distinct(request.ids), engine.store.content_digest(), None
    _check_choices(request, ids)
    if ids:
        ranking = engine.ranker.rank(state, ids, missing="skip", ladder=request.ladder, budget_ms=budget)
        if _is_unscored(ranking, budget) and budget != request.budget_ms:  # the load alone never leaves the given order
            ranking = engine.ranker.rank(state, ids, missing="skip", ladder=[(engine.heads[0], 1)])
    by_id = _by_id(ranking)
    texts = _texts_to_encode(request, by_id)
    if texts:
        return _Stored(state, ranking, texts, digest, query_ms, _is_unscored(ranking, budget))
    _check_whole(request, state.cut, 0)
    timing, usage = None if ranking is None else ranking.timing, Usage(len(by_id), tokens=_tokens(state))
    scores = _Scores(by_id, {}, digest, timing, usage, compute_ms=query_ms, unscored=_is_unscored(ranking, budget))
    return _assemble(engine, request, scores, started)


def _of_owners(
    engine: ClusterEngine, request: RerankRequest, ranking: SetRanking, unscored: bool, started: float
) -> RerankAnswer:
    """Return the answer to a request for ids alone."""
    by_id = _by_id(ranking)
    usage = Usage(len(by_id), tokens=ranking.tokens)
    scores = _Scores(by_id, {}, ranking.store_digest, ranking.timing, usage, unscored=unscored, failures=ranking.failures)
    return _assemble(engine, request, scores, started)


def _with_texts(
    about: tuple[AnyEngine, RerankRequest, float], stored: _Stored, ready: ReadyTexts, encode_ms: float
) -> RerankAnswer:
    """Score the encoded texts with the model's own head, and rank them with the stored candidates."""
    engine, request, started = about
    clock, state, ranking = time.perf_counter(), stored.state, stored.ranking
    _check_whole(request, state.cut, ready.texts.cut)
    logits = score_documents(engine.model, state, ready.texts.arrays, ready.texts.sizes, engine.ranker.aggregate)
    by_id, by_text = _by_id(ranking), dict(zip(stored.texts, logits, strict=True))
    usage = Usage(
        cached_documents=len(by_id),
        reused_documents=ready.reused,
        encoded_documents=len(by_text) - ready.reused,
        truncated_documents=ready.texts.cut,
        tokens=_tokens(state) + ready.tokens,
    )
    if ranking is not None and ranking.timing.rungs:
        by_id, by_text = _merged(engine, ranking, by_text)
    scores = _Scores(
        by_id,
        by_text,
        stored.digest,
        None if ranking is None else ranking.timing,
        usage,
        encode_ms,
        stored.query_ms + 1e3 * (time.perf_counter() - clock),
        stored.unscored,
        stored.failures,
    )
    return _assemble(engine, request, scores, started)


def _check_choices(request: RerankRequest, ids: Sequence[str]) -> None:
    """Refuse a choice among stored documents if there are none. Raises: Refused."""
    if not ids and (request.ladder is not None or request.budget_ms is not None):
        raise invalid("ladder and budget_ms choose among documents of the store; give their ids, or leave both out")


def _by_id(ranking: Ranking | None) -> dict[str, float]:
    return {} if ranking is None else {hit.doc_id: hit.score for hit in ranking}


def _tokens(state: Query) -> int:
    return int(state.rows.states.shape[1])


def _texts_to_encode(request: RerankRequest, held: Mapping[str, float]) -> list[str]:
    """Return the distinct texts to encode. Raises: Refused for ids that the store lacks, as `missing` says."""
    absent: dict[str, None] = {}
    texts: dict[str, None] = {}
    for doc_id, text in zip(request.ids, request.texts, strict=True):
        if doc_id is None and text is not None:
            texts[text] = None
        elif doc_id is not None and doc_id not in held and request.missing != "skip":
            if text is None or request.missing == "error":
                absent[doc_id] = None
            else:
                texts[text] = None
    if absent:
        raise unknown_ids(list(absent))
    return list(texts)


def _check_whole(request: RerankRequest, query_cut: bool, texts_cut: int) -> None:
    """Refuse texts that would lose their end, if the request says so. Raises: Refused."""
    if request.whole and (query_cut or texts_cut):
        what = "the query is" if query_cut else f"{texts_cut} of the texts are"
        raise invalid(f"{what} longer than the model reads, and truncate is false; shorten, or allow it")


def _is_unscored(ranking: Ranking | None, budget: float | None) -> bool:
    """True if a budget was too small for any head, so that the order is the given one."""
    return budget is not None and ranking is not None and len(ranking) > 0 and not ranking.timing.rungs


def _merged(engine: AnyEngine, ranking: Ranking, by_text: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Put texts, which the model's own head has scored, among the candidates that reached it in a ladder run."""
    last, own = ranking.timing.rungs[-1], engine.model.method.head.name
    reached = last.candidates if last.head == own else 0
    stored = [(f"i{hit.doc_id}", hit.score) for hit in ranking]
    best = stored[:reached] + [(f"t{text}", score) for text, score in by_text.items()]
    merged = merge_levels([stored[reached:], sorted(best, key=lambda pair: -pair[1])])
    return (
        {key[1:]: score for key, score in merged if key[0] == "i"},
        {key[1:]: score for key, score in merged if key[0] == "t"},
    )


def _answer_by_cascade(
    engine: Engine, request: RerankRequest, budget: float | None, started: float, most_tokens: int
) -> RerankAnswer:
    """Rank with `Cascade.rank`; texts without an id get one that no store has."""
    assert engine.cascade is not None
    if request.explain:
        raise InputError("explain explains the scores of one head, and a cascade mixes those of several")
    ids = distinct(request.ids)
    held = engine.store.held(ids)
    texts, prefix = _texts_to_encode(request, dict.fromkeys(held, 0.0)), f"text-{uuid4().hex}-"
    documents = [Document(f"{prefix}{number}", text) for number, text in enumerate(texts)]
    with limited(not request.whole, most_tokens) as encodings:
        ranking = engine.cascade.rank(
            request.query,
            [doc_id for doc_id in ids if doc_id in held] + [document.id for document in documents],
            documents=documents or None,
            missing="encode" if documents else "skip",
            ladder=request.ladder,
            budget_ms=budget,
        )
    reused = encodings.documents[0] if encodings.documents else 0  # by the first ranker, which scores all of them
    by_id = {hit.doc_id: hit.score for hit in ranking}
    by_text = {document.text: by_id.pop(document.id) for document in documents}
    timing = ranking.timing
    _check_whole(request, bool(timing.cut_queries), timing.cut_documents)
    usage = Usage(len(by_id), reused, len(texts) - reused, timing.cut_documents, encodings.tokens)
    return _assemble(engine, request, _Scores(by_id, by_text, engine.store.content_digest(), timing, usage), started)


def _assemble(engine: AnyEngine, request: RerankRequest, scores: _Scores, started: float) -> RerankAnswer:
    """Give every candidate its score, sort on raw scores, and turn those of the best into what is sent."""
    raw: list[tuple[float, str, int]] = []
    by_id, by_text = scores.by_id, scores.by_text
    for index, (doc_id, text) in enumerate(zip(request.ids, request.texts, strict=True)):
        if doc_id is not None and doc_id in by_id:
            raw.append((-by_id[doc_id], doc_id, index))
        elif text is not None and text in by_text:
            raw.append((-by_text[text], "", index))
    raw.sort()  # equal scores: by id as `Ranker.rank` sorts them, texts in their order
    best = raw[: request.top_n]
    logits = [-score for score, _, _ in best]
    sent = logits if request.raw_scores else engine.scores(logits)
    explained = {index: _explanation(engine, request, index, by_id) for _, _, index in best[:_EXPLAINED] if request.explain}
    timing = scores.timing
    return RerankAnswer(
        results=[(index, score) for (_, _, index), score in zip(best, sent, strict=True)],
        usage=scores.usage,
        timing_ms=_phases(scores, 1e3 * (time.perf_counter() - started)),
        rungs=[] if timing is None else [(rung.head, rung.candidates, round(rung.ms, 3)) for rung in timing.rungs],
        store_digest=scores.digest,
        partial=scores.unscored or len(raw) < len(request.ids),
        explanations=explained,
        failures=scores.failures,
    )


def _explanation(engine: AnyEngine, request: RerankRequest, index: int, held: Mapping[str, float]) -> Explanation:
    """Explain one result; a text has the index of the candidate as its id. Raises: InputError for a head that cannot."""
    doc_id, text = request.ids[index], request.texts[index]
    if doc_id is not None and doc_id in held:
        return engine.ranker.explain(request.query, doc_id)
    return replace(engine.ranker.explain(request.query, text=text), doc_id=doc_id or str(index))


def _phases(scores: _Scores, total_ms: float) -> dict[str, float]:
    """Return milliseconds by phase; `wait` is the time in queues, and that of the query where it is gathered with others."""
    timing = scores.timing
    phases = {
        "fetch": 0.0 if timing is None else timing.fetch_ms,
        "decode": 0.0 if timing is None else timing.decode_ms,
        "encode": scores.encode_ms + (0.0 if timing is None else timing.encode_ms),
        "compute": scores.compute_ms + (0.0 if timing is None else timing.compute_ms),
    }
    phases["wait"] = max(0.0, total_ms - sum(phases.values()))
    return {name: round(ms, 3) for name, ms in (phases | {"total": total_ms}).items()}
