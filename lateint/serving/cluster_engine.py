"""The engine of a service whose store set is scored by owners on several machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from lateint.cluster.connection import connected
from lateint.cluster.messages import OwnerSetup
from lateint.cluster.ranker import ClusterRanker
from lateint.cluster.set_ranking import SetRanking
from lateint.ranking.cascade import Cascade
from lateint.ranking.ladder import Cost, Ladder
from lateint.serving.caching import CachingRanker
from lateint.serving.engine import BaseEngine, Engine, StoreFacts
from lateint.serving.options import ServeOptions


@dataclass(frozen=True, slots=True)
class ClusterEngine(BaseEngine):
    """A router over owners, and a ranker for texts, which are encoded here.

    seconds: the longest time for the owners. end: ends the owners, and leaves the cluster if it was joined for them.
    """

    cluster: ClusterRanker
    seconds: float
    end: Callable[[], object]

    @property
    def costs(self) -> dict[str, Cost]:
        """What each head costs over the whole set, cheapest first."""
        return self.cluster.costs

    @property
    def heads(self) -> list[str]:
        """Names of the heads, cheapest first."""
        return self.cluster.heads

    @property
    def problem(self) -> str | None:
        """The shards without a ready replica; None if there are none."""
        return self.cluster.problem

    @property
    def scorers(self) -> float:
        """How many requests owners can score at once: as many as the shard with the fewest replicas has."""
        return float(max(1, min(shard.ready for shard in self.cluster.shards)))

    def facts(self) -> StoreFacts:
        """Describe the set, without a look at its members."""
        cluster = self.cluster
        return StoreFacts(cluster.set.path, cluster.documents, cluster.digest, cluster.manifest, cluster.chunks)

    async def rank(self, query: str, ids: list[str], ladder: Ladder | None, budget_ms: float | None) -> SetRanking:
        """Rank distinct ids by their owners. Raises: InputError, ModelError."""
        return await asyncio.wrap_future(self.cluster.submit(query, ids, self.seconds, ladder, budget_ms))

    def prepare(self) -> None:
        """Owners have prepared their members, which are sealed."""

    def is_current(self) -> bool:
        """True: the set that was opened is served until the end."""
        return True

    def close(self) -> None:
        """End the owners, then leave the cluster."""
        self.end()


AnyEngine = Engine | ClusterEngine
"""What a service ranks with."""


def cascade_of(engine: AnyEngine) -> Cascade | None:
    """Return the cascade of an engine; None if it has none."""
    return engine.cascade if isinstance(engine, Engine) else None


def load_cluster_engine(options: ServeOptions, tell: Callable[[str], object]) -> ClusterEngine:
    """Connect to Ray, start the owners, and wait until every shard has a ready replica.

    Raises: MissingExtra, ClusterError, and what `ClusterRanker` raises.
    """
    with ExitStack() as stack:
        stack.enter_context(connected(options.engine))
        from lateint.cluster.ray_owners import RayLauncher

        setup = owner_setup(options)
        cluster = ClusterRanker(RayLauncher(setup), setup, options.replicas, tell)
        stack.callback(cluster.close)
        engine = make_cluster_engine(cluster, options)
        tell(f"{len(cluster.shards)} shards, {sum(shard.ready for shard in cluster.shards)} replicas ready")
        return replace(engine, end=stack.pop_all().close)


def owner_setup(options: ServeOptions) -> OwnerSetup:
    """Return what owners are started with."""
    return OwnerSetup(
        store=options.store, model=options.model, dtype=options.dtype, precision=options.precision, aggregate=options.aggregate
    )


def make_cluster_engine(cluster: ClusterRanker, options: ServeOptions) -> ClusterEngine:
    """Make the engine of a router that is ready. Raises: InputError for an `aggregate` that does not fit."""
    ranker = CachingRanker(cluster.model, chunks=cluster.chunks, aggregate=options.aggregate)
    ranker.through = dict(cluster.manifest.specs)  # texts pass the codecs of the set, as in a ranker over it
    return ClusterEngine(ranker, cluster, 0.9 * options.timeout_ms / 1e3, cluster.close)
