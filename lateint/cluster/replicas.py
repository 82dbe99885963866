"""Replicas: the owners of one member on different nodes, which of them are ready, and which one is asked next."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from lateint.cluster.messages import MemberScores, OwnerFault, OwnerReport, ScoreOrder
from lateint.errors import LateintError

AVOID_SECONDS = 1.0
"""How long a replica that failed or did not answer in time is asked only if no other one is ready."""


class OwnerUnavailable(LateintError):
    """An owner that gave no answer to this call; a later one may succeed."""


class OwnerLost(OwnerUnavailable):
    """An owner that will never answer again: its process or its node has ended."""


class Owner(Protocol):
    """A running owner, wherever it runs. `node`: the id of its node."""

    node: str

    async def open(self) -> OwnerReport | OwnerFault:
        """Open the member and load the model. Raises: OwnerUnavailable."""
        ...

    async def score(self, order: ScoreOrder) -> MemberScores | OwnerFault:
        """Score candidates. Raises: OwnerUnavailable."""
        ...

    async def ping(self) -> None:
        """Return soon, also while the owner scores. Raises: OwnerUnavailable."""
        ...

    def stop(self) -> None:
        """End it. It may have ended before."""
        ...


@dataclass(slots=True, eq=False)
class Replica:
    """A ready owner. lost: set to the reason once it is given up, which ends the calls that wait for it."""

    owner: Owner
    report: OwnerReport
    lost: asyncio.Future[str]
    running: int = 0
    missed: int = 0  # pings in a row without an answer
    asked: int = 0
    avoided_until: float = 0.0

    def avoid(self, seconds: float = AVOID_SECONDS) -> None:
        """Ask others first for a while."""
        self.avoided_until = max(self.avoided_until, time.monotonic() + seconds)

    def begin(self, order: ScoreOrder) -> asyncio.Task[MemberScores | OwnerFault]:
        """Score candidates in a task, which counts from now on, and ends at once when the replica is given up.

        The task raises OwnerUnavailable.
        """
        self.running += 1
        self.asked += 1
        task = asyncio.create_task(self._score(order))
        task.add_done_callback(self._ended)
        return task

    def _ended(self, _: object) -> None:
        self.running -= 1

    async def _score(self, order: ScoreOrder) -> MemberScores | OwnerFault:
        call = asyncio.ensure_future(self.owner.score(order))
        try:
            await asyncio.wait((call, self.lost), return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                raise OwnerLost(self.lost.result())
            return call.result()
        finally:
            call.cancel()


class Shard:
    """The replicas of one member.

    wanted: how many there should be; lost: how many were given up since the start; problem: why there are fewer than wanted,
    as last seen.
    """

    def __init__(self, number: int, wanted: int) -> None:
        self.number, self.wanted = number, wanted
        self.replicas: list[Replica] = []
        self.lost = 0
        self.problem: str | None = None
        self.usual = UsualTime()

    @property
    def ready(self) -> int:
        """How many replicas take requests."""
        return len(self.replicas)

    def pick(self, but: Collection[Replica] = ()) -> Replica | None:
        """Return the replica to ask: one that did not fail just now, with the least work; None if there is no other."""
        now = time.monotonic()
        others = [replica for replica in self.replicas if replica not in but]
        return min(others, key=lambda r: (r.avoided_until > now, r.running, r.asked), default=None)

    def give_up(self, replica: Replica, reason: str) -> None:
        """Take a replica out and end it; calls that wait for it end too, and `Placement` starts another one."""
        if replica.lost.done():
            return
        self.replicas.remove(replica)
        self.lost += 1
        self.problem = reason
        replica.lost.set_result(reason)
        replica.owner.stop()


@dataclass(slots=True)
class UsualTime:
    """How long calls of about n candidates take: mean and deviation by powers of two, as TCP does. Seconds."""

    least: float = 0.05
    most: float = 1.0
    first: float = 0.25  # before any call was measured
    _seen: dict[int, tuple[float, float]] = field(default_factory=dict)

    def add(self, candidates: int, seconds: float) -> None:
        """Learn from one call."""
        mean, deviation = self._seen.get(candidates.bit_length(), (seconds, seconds / 2))
        deviation += (abs(seconds - mean) - deviation) / 4
        self._seen[candidates.bit_length()] = mean + (seconds - mean) / 8, deviation

    def patience(self, candidates: int) -> float:
        """Return the seconds after which a call is late: then another replica is asked too."""
        mean, deviation = self._seen.get(candidates.bit_length(), (math.nan, 0.0))
        if math.isnan(mean):
            return self.first
        return min(max(self.least, mean + 4 * deviation), max(self.most, 2 * mean))
