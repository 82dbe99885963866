"""Keep the wanted number of replicas of every shard running on different nodes, and make none of them ready unchecked."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakSet

from lateint.cluster.messages import OwnerFault, OwnerReport
from lateint.cluster.replicas import Owner, OwnerLost, OwnerUnavailable, Replica, Shard

_PERIOD = 0.5  # seconds between two looks at nodes and replicas
_PING_SECONDS = 1.0
_MISSED = 6  # pings in a row after which a replica is given up although its node is said to be alive
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # before a member is tried again on a node where it failed
_START_SECONDS = 300.0


class Launcher(Protocol):
    """Starts owners on nodes."""

    async def nodes(self) -> Mapping[str, int]:
        """Return the ids of the nodes that are alive, and how many owners each has processors for."""
        ...

    def launch(self, member: int, node: str) -> Owner:
        """Start an owner on a node; `open` says what became of it."""
        ...


@dataclass(slots=True)
class _Block:
    """A node where a member could not be opened: not to be tried before `until`. `sure`: it said why, and will say so again."""

    until: float
    pause: float
    sure: bool


class Placement:
    """Starts replicas, checks them, replaces those that are lost. Use it from one event loop.

    Two replicas of one shard never share a node: what has no node of its own waits for one. A node where a member cannot be
    opened is left for others, so members may lie on some of the nodes only.
    `check`: the reason why a report is not that of the served set and model; None if it is.
    """

    def __init__(self, launcher: Launcher, shards: Sequence[Shard], check: Callable[[OwnerReport], str | None]) -> None:
        self._launcher, self._shards, self._check = launcher, shards, check
        self._starting: dict[asyncio.Task[None], tuple[Shard, str]] = {}
        self._blocks: dict[tuple[int, str], _Block] = {}
        self._launched: WeakSet[Owner] = WeakSet()
        self._ended = False
        self.nodes: Mapping[str, int] = {}
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Look after the replicas until cancelled, then stop all of them."""
        try:
            while True:
                await self.look()
                with suppress(TimeoutError):  # `wait_for` of Python 3.11 can lose a cancellation
                    async with asyncio.timeout(_PERIOD):
                        await self.changed.wait()
                self.changed.clear()
        finally:
            self._stop_all()

    async def look(self) -> None:
        """Look once: drop what is lost, ping the rest, and start what is missing."""
        with suppress(OwnerUnavailable):  # the answer of the last look serves
            self.nodes = await self._launcher.nodes()
        self._drop_lost()
        await asyncio.gather(*(self._ping(shard, replica) for shard in self._shards for replica in shard.replicas))
        while (place := self._next_place()) is not None:
            shard, node = place
            self._starting[asyncio.create_task(self._start(shard, node))] = shard, node

    def _drop_lost(self) -> None:
        """Give up what was on nodes that are gone, or has ended by itself."""
        for shard in self._shards:
            for replica in list(shard.replicas):
                if replica.owner.node not in self.nodes:
                    shard.give_up(replica, f"node {replica.owner.node:.12} is gone")
        for task, (_, node) in list(self._starting.items()):
            if task.done():
                del self._starting[task]
            elif node not in self.nodes:
                task.cancel()

    def hopeless(self, shard: Shard) -> bool:
        """True if a shard has no replica, none starts, and it could not be opened on any node there is room on."""
        if shard.replicas or any(starting is shard for starting, _ in self._starting.values()):
            return False
        return bool(self.nodes) and all(
            (block := self._blocks.get((shard.number, node))) is not None and block.sure for node in self.nodes
        )

    async def _ping(self, shard: Shard, replica: Replica) -> None:
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await replica.owner.ping()
            replica.missed = 0
        except OwnerLost as error:
            shard.give_up(replica, str(error))
        except (OwnerUnavailable, TimeoutError):
            replica.missed += 1
            replica.avoid(2 * _PING_SECONDS)
            if replica.missed >= _MISSED:
                shard.give_up(replica, f"node {replica.owner.node:.12} does not answer")

    def _next_place(self) -> tuple[Shard, str] | None:
        """Return a shard that lacks a replica, the one with the fewest first, and the emptiest node for it."""
        now, used, per_shard = time.monotonic(), Counter[str](), {shard: set[str]() for shard in self._shards}
        there = [(shard, replica.owner.node) for shard in self._shards for replica in shard.replicas]
        for shard, node in [*there, *(place for task, place in self._starting.items() if not task.done())]:
            used[node] += 1
            per_shard[shard].add(node)
        for shard in sorted(self._shards, key=lambda shard: len(per_shard[shard])):
            if len(per_shard[shard]) >= shard.wanted:
                continue
            free = [
                node
                for node, room in self.nodes.items()
                if node not in per_shard[shard] and used[node] < room and not self._is_blocked(shard, node, now)
            ]
            if free:
                place = {node: number for number, node in enumerate(sorted(self.nodes))}
                turn = {node: (place[node] - shard.number) % len(place) for node in free}  # so that equal nodes fill in turns
                return shard, min(free, key=lambda node: (used[node], turn[node]))
        return None

    def _is_blocked(self, shard: Shard, node: str, now: float) -> bool:
        block = self._blocks.get((shard.number, node))
        return block is not None and now < block.until

    async def _start(self, shard: Shard, node: str) -> None:
        """Start an owner; it is ready once it has opened what is served, and nothing else."""
        owner: Owner | None = None
        report: OwnerReport | OwnerFault | None = None
        try:
            owner = await asyncio.to_thread(self._launch, shard.number, node)
            async with asyncio.timeout(_START_SECONDS):
                report = await owner.open()
            problem = report.message if isinstance(report, OwnerFault) else await asyncio.to_thread(self._check, report)
        except OwnerUnavailable as error:
            problem = str(error)
        except TimeoutError:
            problem = f"not open after {_START_SECONDS:.0f} s"
        except asyncio.CancelledError:
            if owner is not None:
                owner.stop()
            raise
        except Exception as error:  # of the engine: it is tried again later, and said meanwhile
            problem = f"{type(error).__name__}: {error}"
        if problem is None and owner is not None and isinstance(report, OwnerReport):
            self._blocks.pop((shard.number, node), None)
            shard.replicas.append(Replica(owner, report, asyncio.get_running_loop().create_future()))
            shard.problem = None
        else:
            shard.problem = f"node {node:.12}: {problem}"
            self._block(shard, node, sure=report is not None)
            if owner is not None:
                owner.stop()
        self.changed.set()

    def _launch(self, member: int, node: str) -> Owner:
        """Start an owner, on another thread; if the end comes meanwhile, end it."""
        owner = self._launcher.launch(member, node)
        self._launched.add(owner)
        if self._ended:
            owner.stop()
        return owner

    def _block(self, shard: Shard, node: str, sure: bool) -> None:
        before = self._blocks.get((shard.number, node))
        pause = _FIRST_PAUSE if before is None else min(_LONGEST_PAUSE, 2 * before.pause)
        self._blocks[shard.number, node] = _Block(time.monotonic() + pause, pause, sure)

    def _stop_all(self) -> None:
        self._ended = True
        for task in self._starting:
            task.cancel()
        for shard in self._shards:
            for replica in list(shard.replicas):
                shard.give_up(replica, "the service is stopping")
        for owner in list(self._launched):  # also those whose start was cancelled
            owner.stop()
