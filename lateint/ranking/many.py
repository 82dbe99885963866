"""Rank many queries: encode them in batches, and score them side by side on all threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice

from lateint.errors import InputError
from lateint.heads.inputs import Query
from lateint.indexing.threads import map_on_threads
from lateint.model.model import Model
from lateint.results import Ranking

_QUERIES_AT_ONCE = 64  # taken, and ranked, before the first ranking of them is returned
_ENCODED_AT_ONCE = 16  # of these, in one batch

RankOne = Callable[["str | Query", Sequence[str]], Ranking]
"""Ranks the candidates of one query."""
Asked = tuple["str | Query", Sequence[str]]
"""A query, and the ids of its candidates."""


def rank_many(model: Model, rank: RankOne, asked: Iterable[Asked]) -> Iterator[Ranking]:
    """Yield the ranking of each query, in their order. What `rank` raises for a query is raised after all before it.

    Each thread encodes a batch of queries and ranks one after the other; threads wait for each other once in 64 queries only.
    The share of its batch that a query took to encode is added to its times.
    """
    waiting = iter(asked)
    while window := list(islice(waiting, _QUERIES_AT_ONCE)):
        batches = [window[start : start + _ENCODED_AT_ONCE] for start in range(0, len(window), _ENCODED_AT_ONCE)]
        for found in chain.from_iterable(map_on_threads(model.device, partial(_rank_batch, model, rank), batches)):
            if isinstance(found, Exception):
                raise found
            yield found


def _rank_batch(model: Model, rank: RankOne, batch: Sequence[Asked]) -> list[Ranking | Exception]:
    """Rank some queries until one fails; the error is the last of the results."""
    start = time.perf_counter()
    states = _encoded(model, [query for query, _ in batch])
    share = 1e3 * (time.perf_counter() - start) / len(batch)
    results: list[Ranking | Exception] = []
    for state, (_, doc_ids) in zip(states, batch, strict=True):
        try:
            found = rank(state, doc_ids)
        except Exception as error:  # raised by `rank_many`, once the rankings before it are out
            return [*results, error]
        timing = replace(found.timing, compute_ms=found.timing.compute_ms + share, total_ms=found.timing.total_ms + share)
        results.append(replace(found, timing=timing))
    return results


def _encoded(model: Model, queries: Sequence[str | Query]) -> Sequence[str | Query]:
    """Encode the texts among the queries in batches; leave all as they are if one cannot be, which `rank` will name."""
    texts = [query for query in queries if not isinstance(query, Query)]
    try:
        states = iter(model.queries(texts))
    except InputError:
        return queries
    return [query if isinstance(query, Query) else next(states) for query in queries]
