"""Rank candidates over the shards of a set: every rung of a ladder is decided here, over the candidates of all shards."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import starmap
from operator import itemgetter

from lateint.cluster.messages import MemberScores, ShardFailure
from lateint.cluster.router import Router
from lateint.ranking.ladder import Cost, LadderPlan, Scored, affordable, climb
from lateint.results import Clock, Hit, Ranking, Rung, Timing


@dataclass(frozen=True, slots=True)
class SetRanking(Ranking):
    """A ranking over a set. `failures`: shards without an answer, whose candidates have no place in it.

    missing: ids that no member holds, in the given order. store_digest: content digest of the set. tokens: of the query.
    Phases of the timing are those of the slowest shard of each round; what is left of the total was spent between machines.
    """

    failures: tuple[ShardFailure, ...] = ()
    missing: tuple[str, ...] = ()
    store_digest: str = ""
    tokens: int = 0


class SetRun:
    """One ranking over a set. `own`: the model's own head; `costs`: of each head over the whole set; `deadline` as `Router`."""

    def __init__(self, router: Router, own: str, costs: Mapping[str, Cost], query: str, deadline: float) -> None:
        self._router, self._own, self._costs, self._query, self._deadline = router, own, costs, query, deadline
        self._clock = Clock()
        self._slowest: list[Timing] = []
        self._answers: list[MemberScores] = []
        self._failures: dict[int, ShardFailure] = {}
        self._missing: set[str] = set()

    async def rank(self, ids: Sequence[str], plan: LadderPlan | None, top_k: int | None = None) -> SetRanking:
        """Rank candidates. Raises: as `Router.gather`."""
        if plan is None:
            scored = await self._round(self._own, ids)
        else:
            scored = await self._climb(ids, plan)
        by_id = sorted(scored)  # equal scores stay in this order
        return SetRanking(
            hits=tuple(starmap(Hit, sorted(by_id, key=itemgetter(1), reverse=True)[:top_k])),
            timing=self._timing(len(scored)),
            failures=tuple(self._failures[shard] for shard in sorted(self._failures)),
            missing=tuple(doc_id for doc_id in ids if doc_id in self._missing),
            tokens=self._answers[0].tokens if self._answers else 0,
        )

    async def _climb(self, ids: Sequence[str], plan: LadderPlan) -> Scored:
        run = climb(ids, plan, self._own, lambda rungs: affordable(rungs, plan, self._costs, self._clock.elapsed_ms))
        head, wanted = next(run)
        while True:
            started = time.perf_counter()
            scored = await self._round(head, wanted)
            if head is not None:
                self._clock.rungs.append(Rung(head, len(scored), 1e3 * (time.perf_counter() - started)))
            try:
                head, wanted = run.send(scored)
            except StopIteration as end:
                merged: Scored = end.value
                lost = {doc_id for failure in self._failures.values() for doc_id in failure.ids}  # a later round lost some
                return [pair for pair in merged if pair[0] not in lost]

    async def _round(self, head: str | None, ids: Sequence[str]) -> Scored:
        """Return the scores of all shards that answer, in the order of `ids`."""
        found = await self._router.gather(self._query, ids, head, self._deadline)
        for failure in found.failures:
            before = self._failures.get(failure.shard)
            self._failures[failure.shard] = failure if before is None else replace(before, ids=(*before.ids, *failure.ids))
        self._missing |= set(found.missing)
        self._answers += found.answers
        if found.answers:
            self._slowest.append(max((answer.timing for answer in found.answers), key=lambda timing: timing.total_ms))
        return [(doc_id, found.scores[doc_id]) for doc_id in ids if doc_id in found.scores]

    def _timing(self, candidates: int) -> Timing:
        return replace(
            self._clock.timing(candidates, self._own),
            fetch_ms=sum(timing.fetch_ms for timing in self._slowest),
            decode_ms=sum(timing.decode_ms for timing in self._slowest),
            compute_ms=sum(timing.compute_ms for timing in self._slowest),
            bytes_read=sum(answer.timing.bytes_read for answer in self._answers),
            cut_queries=int(any(answer.query_cut for answer in self._answers)),
        )
