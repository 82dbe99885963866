"""The router: group the candidates of a query by the shards that own them, ask one replica of each, and join the answers.

A call that is late is sent to another replica as well, and one that fails is sent there at once: two replicas are asked at
most. Whoever answers first counts. A shard that gives no answer costs its own candidates alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import lateint.errors
from lateint.cluster.messages import MemberScores, OwnerFault, ScoreOrder, ShardFailure
from lateint.cluster.replicas import OwnerLost, OwnerUnavailable, Replica, Shard
from lateint.errors import LateintError, StoreError

_ATTEMPTS = 2  # the first replica, and one other


@dataclass(slots=True)
class RouterCounts:
    """What the router did beside plain calls, since it was started."""

    retries: int = 0
    hedges: int = 0
    failures: int = 0
    foreign: int = 0


@dataclass(slots=True)
class Gathered:
    """The answers of one round: scores by id, what no shard holds, and the shards that failed."""

    scores: dict[str, float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    failures: list[ShardFailure] = field(default_factory=list)
    answers: list[MemberScores] = field(default_factory=list)


class Router:
    """Asks the shards of one set. Use it from one event loop.

    Args: `shards`, in the order of the set's members; `contents`, the digest that each member must have; `owners`, which
    shard owns each id.
    """

    def __init__(
        self, shards: Sequence[Shard], contents: Sequence[str], owners: Callable[[Sequence[str]], Sequence[int]]
    ) -> None:
        self.shards, self._contents, self._owners = shards, contents, owners
        self.counts = RouterCounts()

    async def gather(self, query: str, ids: Sequence[str], head: str | None, deadline: float) -> Gathered:
        """Score candidates with one head. `deadline`: of `time.monotonic`.

        Raises: InputError and ModelError, which every replica would raise alike.
        """
        groups: dict[int, list[str]] = {}
        for doc_id, shard in zip(ids, self._owners(ids), strict=True):
            groups.setdefault(shard, []).append(doc_id)
        calls = [self._ask(self.shards[shard], ScoreOrder(query, group, head), deadline) for shard, group in groups.items()]
        found = Gathered()
        for answer, group in zip(await asyncio.gather(*calls), groups.values(), strict=True):
            if isinstance(answer, ShardFailure):
                found.failures.append(answer)
                continue
            found.answers.append(answer)
            held = [group[place] for place in answer.places.tolist()]
            found.scores.update(zip(held, answer.scores.tolist(), strict=True))
            found.missing += sorted(set(group) - set(held))
        return found

    async def _ask(self, shard: Shard, order: ScoreOrder, deadline: float) -> MemberScores | ShardFailure:
        """Return the scores of one shard, from the first of at most two replicas that has them."""
        attempt = _Attempt(shard, order, self._contents[shard.number], self.counts)
        try:
            return await attempt.run(deadline)
        finally:
            attempt.cancel()


class _Attempt:
    """One order to one shard: the calls that run, and what failed so far."""

    def __init__(self, shard: Shard, order: ScoreOrder, content: str, counts: RouterCounts) -> None:
        self._shard, self._order, self._content, self._counts = shard, order, content, counts
        self._calls: dict[asyncio.Task[MemberScores | OwnerFault], tuple[Replica, float]] = {}
        self._tried: list[Replica] = []
        self._reasons: list[str] = []

    async def run(self, deadline: float) -> MemberScores | ShardFailure:
        """Ask, ask another replica if the first is late or fails, and return the first scores."""
        self._start()
        late_at = time.monotonic() + self._shard.usual.patience(len(self._order.ids))
        while self._calls:
            until = deadline if self._is_last() else min(late_at, deadline)
            done, _ = await asyncio.wait(
                self._calls, timeout=max(0.0, until - time.monotonic()), return_when=asyncio.FIRST_COMPLETED
            )
            for call in done:
                if (scores := self._outcome(call)) is not None:
                    return scores
            if time.monotonic() >= deadline and self._calls:
                self._give_up_waiting()
                break
            if done and not self._is_last():
                self._counts.retries += self._start()
            elif not done and not self._is_last():
                self._counts.hedges += self._start()
        self._counts.failures += 1
        return ShardFailure(self._shard.number, tuple(self._order.ids), "; ".join(self._reasons) or self._none_ready())

    def cancel(self) -> None:
        """Stop waiting for calls whose answer nobody needs."""
        for call in self._calls:
            call.cancel()

    def _is_last(self) -> bool:
        """True if no other replica can be asked."""
        return len(self._tried) >= _ATTEMPTS or self._shard.pick(self._tried) is None

    def _start(self) -> bool:
        """Ask a replica that was not asked yet; False if there is none."""
        replica = self._shard.pick(self._tried)
        if replica is None:
            return False
        self._tried.append(replica)
        self._calls[replica.begin(self._order)] = replica, time.monotonic()
        return True

    def _outcome(self, call: asyncio.Task[MemberScores | OwnerFault]) -> MemberScores | None:
        """Return the scores of a finished call; None if it failed. Raises: an error that all replicas would have."""
        replica, started = self._calls.pop(call)
        try:
            answer = call.result()
        except OwnerUnavailable as error:
            if isinstance(error, OwnerLost):
                self._shard.give_up(replica, str(error))
            self._failed(replica, str(error))
            return None
        if isinstance(answer, OwnerFault):
            if answer.everywhere:
                raise error_of(answer)
            self._failed(replica, answer.message)
            return None
        if answer.content != self._content:
            self._counts.foreign += 1
            self._shard.give_up(replica, f"node {replica.owner.node:.12} holds another version of the member")
            self._failed(replica, f"another version of the member [{answer.content:.12}, not {self._content:.12}]")
            return None
        self._shard.usual.add(len(self._order.ids), time.monotonic() - started)
        for late, began in self._calls.values():
            if began < started:  # asked first, and still not there
                late.avoid()
        return answer

    def _failed(self, replica: Replica, reason: str) -> None:
        replica.avoid()
        self._reasons.append(f"node {replica.owner.node:.12}: {reason}")

    def _give_up_waiting(self) -> None:
        for replica, started in list(self._calls.values()):
            self._failed(replica, f"no answer within {1e3 * (time.monotonic() - started):.0f} ms")

    def _none_ready(self) -> str:
        return f"no replica is ready: {self._shard.problem or 'none was started'}"


def error_of(fault: OwnerFault) -> LateintError:
    """Return the error that an owner has described."""
    kind = getattr(lateint.errors, fault.kind, None)
    if not isinstance(kind, type) or not issubclass(kind, LateintError):
        return StoreError(fault.message)
    own = [base for base in kind.__mro__ if base.__module__ == LateintError.__module__]
    return StoreError(fault.message) if any("__init__" in vars(base) for base in own) else kind(fault.message)
