"""The systems compared in tables: a first stage, a model over its store, and a cascade of two."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lateint_eval.formats import Run, RunEntry
from lateint_eval.measures.metrics import Evaluation, evaluate

if TYPE_CHECKING:
    from lateint.indexing.store import Store
    from lateint.model.model import Model
    from lateint.results import Ranking

Scored = list[tuple[str, float]]
Rerank = Callable[[str, Sequence[str]], Scored]


@dataclass(frozen=True, slots=True)
class System:
    """A function that re-ranks the candidates of a query; `bytes_per_document` is None if it stores nothing."""

    name: str
    rerank: Rerank
    bytes_per_document: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a system on a set: evaluation, rankings, and the milliseconds of every query."""

    system: System
    evaluation: Evaluation
    rankings: dict[str, Scored]
    milliseconds: list[float] = field(repr=False)

    def percentile(self, share: float) -> float:
        """Return a percentile of the milliseconds by nearest rank; `share` 0.5 is the median."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(
    system: System,
    queries: Mapping[str, str],
    candidates: Mapping[str, Sequence[str]],
    qrels: Mapping[str, Mapping[str, int]],
    measures: Sequence[str],
) -> Outcome:
    """Re-rank the candidates of every query, time each call, and evaluate. The first call is repeated, as a warm-up."""
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
    """Convert rankings in memory to a run."""
    run = Run(name)
    for query_id, scored in rankings.items():
        run.queries[query_id] = [RunEntry(doc_id, rank, score, 0) for rank, (doc_id, score) in enumerate(scored, 1)]
    return run


def cached(model: Model, store: Store) -> System:
    """Return a system that ranks with the stored states of `store`."""
    from lateint.ranking.ranker import Ranker

    ranker = Ranker(model, store)
    return System("cached", lambda query, ids: _pairs(ranker.rank(query, ids)), store.info()["bytes"] / max(1, len(store)))


def cascaded(model: Model, store: Store, second: Model, tokens: Store, depth: int) -> System:
    """Return a system that ranks with the stored states of `store`, then the best `depth` with `second` over `tokens`."""
    from lateint.ranking.cascade import Cascade
    from lateint.ranking.ranker import Ranker

    cascade = Cascade(Ranker(model, store), (Ranker(second, tokens), depth))
    size = sum(each.info()["bytes"] / max(1, len(each)) for each in (store, tokens))
    return System("cascade", lambda query, ids: _pairs(cascade.rank(query, ids)), size)


def _pairs(ranking: Ranking) -> Scored:
    return [(hit.doc_id, hit.score) for hit in ranking]
