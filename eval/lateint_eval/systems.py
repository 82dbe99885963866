"""The systems that every table compares: first stage, base cosine, the full model and the cached model."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lateint_eval.formats import Run, RunEntry
from lateint_eval.measures.metrics import Evaluation, evaluate

if TYPE_CHECKING:
    from lateint.indexing.store import Store
    from lateint.model.document import Document
    from lateint.model.model import Model
    from lateint.results import Ranking

Scored = list[tuple[str, float]]
Rerank = Callable[[str, Sequence[str]], Scored]


@dataclass(frozen=True, slots=True)
class System:
    """A way to order the candidates of a query; `bytes_per_document` is what it keeps of each, None if nothing."""

    name: str
    rerank: Rerank
    bytes_per_document: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a system did on a set: its run as measured, and the milliseconds of every query."""

    system: System
    evaluation: Evaluation
    rankings: dict[str, Scored]
    milliseconds: list[float] = field(repr=False)

    def percentile(self, share: float) -> float:
        """Milliseconds below which that share of the queries lies (nearest rank)."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(
    system: System,
    queries: Mapping[str, str],
    candidates: Mapping[str, Sequence[str]],
    qrels: Mapping[str, Mapping[str, int]],
    measures: Sequence[str],
) -> Outcome:
    """Re-rank every query's candidates, timing each call, and evaluate. The first call is made twice, to warm up."""
    rankings: dict[str, Scored] = {}
    milliseconds: list[float] = []
    for query_id, text in queries.items():
        if not milliseconds:
            system.rerank(text, candidates[query_id])
        start = time.perf_counter()
        rankings[query_id] = system.rerank(text, candidates[query_id])
        milliseconds.append(1e3 * (time.perf_counter() - start))
    return Outcome(system, evaluate(qrels, as_run(system.name, rankings), measures), rankings, milliseconds)


def as_run(name: str, rankings: Mapping[str, Scored]) -> Run:
    """Rankings in memory as the run that a file would hold."""
    run = Run(name)
    for query_id, scored in rankings.items():
        run.queries[query_id] = [RunEntry(doc_id, rank, score, 0) for rank, (doc_id, score) in enumerate(scored, 1)]
    return run


def cached(model: Model, store: Store) -> System:
    """The model over a store's states."""
    from lateint.ranking.ranker import Ranker

    ranker = Ranker(model, store)
    return System("cached", lambda query, ids: _pairs(ranker.rank(query, ids)), store.info()["bytes"] / max(1, len(store)))


def full(model: Model, documents: Mapping[str, Document]) -> System:
    """The same model with document states recomputed from text for every pair, no codec between."""
    from lateint.ranking.ranker import Ranker

    ranker = Ranker(without_codecs(model))
    return System("full", lambda query, ids: _pairs(ranker.rank(query, documents=[documents[i] for i in ids])))


def without_codecs(model: Model) -> Model:
    """The same model, sharing all weights, whose arrays pass no lossy codec."""
    plain = copy.copy(model)
    plain.method = replace(model.method, codecs=())
    return plain


def _pairs(ranking: Ranking) -> Scored:
    return [(hit.doc_id, hit.score) for hit in ranking]
