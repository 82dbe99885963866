"""Owners in this process, each with a thread of its own: to try a set without a cluster, and to test the router."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from lateint.cluster.messages import MemberScores, OwnerFault, OwnerReport, OwnerSetup, ScoreOrder
from lateint.cluster.owner import MemberOwner, fault_of
from lateint.errors import LateintError


class LocalOwner:
    """An owner in this process, on a node that is only a name."""

    def __init__(self, setup: OwnerSetup, member: int, node: str) -> None:
        self.node = node
        self._setup, self._member = setup, member
        self._owner: MemberOwner | None = None
        self._thread = ThreadPoolExecutor(1, f"owner-{member}")

    async def open(self) -> OwnerReport | OwnerFault:
        """Open the member on the owner's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    def _open(self) -> OwnerReport | OwnerFault:
        try:
            self._owner = MemberOwner(self._setup, self._member)
            return self._owner.report()
        except (LateintError, OSError) as error:
            return fault_of(error)

    async def score(self, order: ScoreOrder) -> MemberScores | OwnerFault:
        """Score on the owner's thread."""
        assert self._owner is not None
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._owner.score, order)

    async def ping(self) -> None:
        """Return at once."""

    def stop(self) -> None:
        """Close the member once what runs has ended."""
        if self._owner is not None:
            self._thread.submit(self._owner.close)
        self._thread.shutdown(wait=False)


class LocalLauncher:
    """Starts owners in this process, on nodes that are only names. `room`: owners of each."""

    def __init__(self, setup: OwnerSetup, nodes: Sequence[str] = ("here",), room: int = 1 << 16) -> None:
        self._setup, self.names, self._room = setup, list(nodes), room

    async def nodes(self) -> Mapping[str, int]:
        """Return the names."""
        return dict.fromkeys(self.names, self._room)

    def launch(self, member: int, node: str) -> LocalOwner:
        """Make an owner."""
        return LocalOwner(self._setup, member, node)
