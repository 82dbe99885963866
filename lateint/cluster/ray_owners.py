"""Owners as plain actors of Ray: one process each, pinned to a node. The one place that knows how Ray calls and fails.

Plain actors and not Ray Serve: to scatter 1,000 ids and gather their scores took 3.8 to 3.9 ms by actors, 20 ms by handles of
Serve, and 26 to 34 ms by its HTTP proxy. What Serve adds (HTTP, balancing, health checks) the service, `router.py` and
`placement.py` do with knowledge of shards and digests that Serve does not have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, ActorUnschedulableError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lateint.cluster.messages import MemberScores, OwnerFault, OwnerReport, OwnerSetup, ScoreOrder
from lateint.cluster.replicas import OwnerLost, OwnerUnavailable
from lateint.errors import LateintError

_AT_ONCE = 2  # orders that an owner computes at once: one reads while the other computes
_CPUS = 1


class OwnerActor:
    """What runs in a process of Ray: an owner, which `open` makes, so that its errors come back as data."""

    def __init__(self, setup: OwnerSetup, member: int) -> None:
        self._setup, self._member = setup, member

    def open(self) -> OwnerReport | OwnerFault:
        """Open the member, load the model on one torch thread, and warm up."""
        from lateint.cluster.owner import MemberOwner, fault_of  # torch is loaded in the owner's process

        try:
            self._owner = MemberOwner(self._setup, self._member)
            return self._owner.report()
        except (LateintError, OSError) as error:
            return fault_of(error)

    def score(self, order: ScoreOrder) -> MemberScores | OwnerFault:
        """Score candidates."""
        return self._owner.score(order)

    def ping(self) -> None:
        """Answer, on a thread of its own."""


class RayOwner:
    """A handle of an owner."""

    def __init__(self, actor: Any, node: str) -> None:
        self.node, self._actor = node, actor

    async def open(self) -> OwnerReport | OwnerFault:
        """Wait until the owner has opened its member. Raises: OwnerUnavailable."""
        found: OwnerReport | OwnerFault = await _answer(self._actor.open.remote())
        return found

    async def score(self, order: ScoreOrder) -> MemberScores | OwnerFault:
        """Score candidates. Raises: OwnerUnavailable."""
        found: MemberScores | OwnerFault = await _answer(self._actor.score.remote(order))
        return found

    async def ping(self) -> None:
        """Ask whether the process answers. Raises: OwnerUnavailable."""
        await _answer(self._actor.ping.options(concurrency_group="health").remote())

    def stop(self) -> None:
        """End the process."""
        ray.kill(self._actor, no_restart=True)


class RayLauncher:
    """Starts owners in the cluster that this process is connected to."""

    def __init__(self, setup: OwnerSetup) -> None:
        self._setup = setup
        self._class: Any = ray.remote(concurrency_groups={"health": 1})(OwnerActor)  # type: ignore[call-overload]

    async def nodes(self) -> Mapping[str, int]:
        """Return the nodes that are alive and have processors. Raises: OwnerUnavailable while the head does not answer."""
        try:
            found = await asyncio.to_thread(ray.nodes)
        except RayError as error:
            raise OwnerUnavailable(_shown(error)) from error
        alive = {node["NodeID"]: int(node["Resources"].get("CPU", 0)) // _CPUS for node in found if node["Alive"]}
        return {node: room for node, room in alive.items() if room}

    def launch(self, member: int, node: str) -> RayOwner:
        """Create an actor, which Ray never restarts by itself: a new process has to be checked before it serves."""
        actor = self._class.options(
            num_cpus=_CPUS,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=_AT_ONCE,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        ).remote(self._setup, member)
        return RayOwner(actor, node)


async def _answer(reference: Any) -> Any:
    """Wait for the result of a call. Raises: OwnerLost for an actor that is dead, OwnerUnavailable for all other failures."""
    try:
        return await reference
    except ActorUnavailableError as error:
        raise OwnerUnavailable(_shown(error)) from error
    except (RayActorError, ActorDiedError, ActorUnschedulableError) as error:
        raise OwnerLost(_shown(error)) from error
    except RayError as error:
        raise OwnerUnavailable(_shown(error)) from error


def _shown(error: Exception) -> str:
    """Return the first line of an error of Ray, which quotes logs and traces behind it."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
