"""`ClusterRanker`: rank candidates by id over a store set whose members lie on several machines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Self

from lateint.cluster.background import BackgroundLoop
from lateint.cluster.messages import OwnerReport, OwnerSetup
from lateint.cluster.owner import digests
from lateint.cluster.placement import Launcher, Placement
from lateint.cluster.replicas import Shard
from lateint.cluster.router import Router
from lateint.cluster.served_set import ServedSet, ShardHealth, set_costs, set_digest
from lateint.cluster.set_ranking import SetRanking, SetRun
from lateint.errors import InputError, LateintError, MissingDocument, StoreError
from lateint.indexing.store import model_of
from lateint.indexing.view import recorded_chunks
from lateint.loading.load import load_model
from lateint.model.model import Model
from lateint.ranking.checks import check_choices, refuse_repeats
from lateint.ranking.ladder import Cost, Ladder, make_plan
from lateint_store.arguments import as_count, as_strings, check_text
from lateint_store.format.manifest import Manifest

_START_SECONDS = 600.0  # until every shard has a ready replica
_NO_NODES_SECONDS = 30.0
_HOP_MS = 4.0  # of a call beside its work: what plain actors of Ray took
_TIMEOUT_MS = 30_000


class ClusterRanker:
    """Rank candidates by id over owners, each of which scores the documents of one member of a set.

    Scores are those of a `Ranker` over the set: equal bit for bit where an owner's batches have the same shapes, else to
    rounding. Ladders prune over the candidates of all owners, in one round trip for each rung. Use it as a context manager,
    or `close` it. Safe to use from many threads at once.

    Args: `launcher`, what starts owners; `setup`, the set and the model; `replicas`, owners of each member, which never
    share a node; `tell`, told what the user should know.
    Attributes: `digest`, of the set's content; `documents`, how many it has; `heads` and `costs`, cheapest first; `manifest`,
    of its members under the uuid of the set; `chunks`, how its documents were cut.
    Raises: StoreNotFound; InputError for a store that is no sealed set split by id; StoreError if a member could be opened
    nowhere; ModelError. It waits until every shard has a ready replica. Cost: loads the model here, too.
    """

    def __init__(
        self, launcher: Launcher, setup: OwnerSetup, replicas: int = 1, tell: Callable[[str], object] = lambda _: None
    ) -> None:
        self.set = ServedSet.read(setup.store)
        self._setup, self._tell, self._replicas = setup, tell, as_count(replicas, "replicas")
        self._reports: dict[int, OwnerReport] = {}
        self._model: Model | None = None
        self._error: LateintError | None = None
        self._expected: dict[str, str] = {}
        self._lock = threading.Lock()
        self.shards = [Shard(number, replicas) for number in range(len(self.set.about.members))]
        self._placement = Placement(launcher, self.shards, self._check)
        self.router = Router(self.shards, self.set.contents(), self.owners)
        self._loop = BackgroundLoop("lateint-router")
        try:
            self._running = self._loop.submit(self._placement.run())
            self._wait_until_ready()
        except BaseException:
            self._loop.close()
            raise
        reports = [self._reports[shard.number] for shard in self.shards]
        self.digest = set_digest(reports)
        self.documents = sum(report.documents for report in reports)
        self.costs: dict[str, Cost] = set_costs(reports, _HOP_MS)
        self.heads = list(reports[0].heads)
        self.manifest = replace(Manifest.from_json(reports[0].manifest), uuid=self.set.about.uuid)
        self.chunks = recorded_chunks(self.set.path, self.manifest)

    @property
    def model(self) -> Model:
        """The model that the set was made by; owners have the same one."""
        assert self._model is not None  # loaded before any shard is ready
        return self._model

    @property
    def problem(self) -> str | None:
        """Why not all candidates can be ranked now; None if every shard has a ready replica."""
        down = [shard for shard in self.shards if not shard.ready]
        return "; ".join(f"shard {shard.number} has no ready replica: {shard.problem}" for shard in down) or None

    def health(self) -> list[ShardHealth]:
        """Return how many replicas of each shard are ready."""
        about, reports = self.set.about, self._reports
        return [ShardHealth.of(shard, about, reports[shard.number].documents) for shard in self.shards]

    def owners(self, ids: Iterable[str]) -> list[int]:
        """Return the number of the shard that owns each document. Raises: InputError for an impossible id."""
        return self.set.owners(list(ids), self.chunks)

    def rank(
        self,
        query: str,
        doc_ids: Iterable[str],
        *,
        top_k: int | None = None,
        missing: str = "error",
        ladder: Ladder | None = None,
        budget_ms: float | None = None,
        timeout_ms: int = _TIMEOUT_MS,
    ) -> SetRanking:
        """Rank candidates by id, as `Ranker.rank` does; texts are ranked by a `Ranker` without a store.

        `missing`: `error` or `skip`. `timeout_ms`: shards that have not answered by then are among the ranking's `failures`,
        as are those of which two replicas failed; their candidates are left out. Raises: InputError, MissingDocument,
        ModelError.
        """
        if missing not in ("error", "skip"):
            raise InputError(f"missing={missing!r}; expected 'error' or 'skip': owners encode no texts")
        check_choices(top_k, "skip")
        ids = as_strings(doc_ids, "doc_ids")
        refuse_repeats(ids)
        check_text(query, "query")
        seconds = as_count(timeout_ms, "timeout_ms") / 1e3
        found = self.submit(query, ids, seconds, ladder, budget_ms, top_k).result()
        if found.missing and missing == "error":
            raise MissingDocument(
                f"{len(found.missing)} of the candidates are not in {self.set.path}: {list(found.missing[:3])!r}"
            )
        return found

    def submit(
        self,
        query: str,
        ids: list[str],
        seconds: float,
        ladder: Ladder | None = None,
        budget_ms: float | None = None,
        top_k: int | None = None,
    ) -> Future[SetRanking]:
        """Begin a ranking of distinct ids, which ends within about `seconds`. Raises: InputError for a ladder or a budget."""
        if self._loop.closed:
            raise StoreError(f"the ranker over {self.set.path} is closed")
        own = self.model.method.head.name
        plan = None if ladder is None and budget_ms is None else make_plan(ladder, budget_ms, self.heads, self.costs)
        run = SetRun(self.router, own, self.costs, query, time.monotonic() + seconds)

        async def rank() -> SetRanking:
            return replace(await run.rank(ids, plan, top_k), store_digest=self.digest)

        return self._loop.submit(rank())

    def close(self) -> None:
        """End all owners."""
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _check(self, report: OwnerReport) -> str | None:
        """Return why an owner does not serve this set by this model; the first one says which model the set records."""
        if (difference := self.set.difference(report)) is not None:
            return difference
        with self._lock:
            if self._model is None and self._error is None:
                try:
                    self._model = self._load(Manifest.from_json(report.manifest))
                    self._expected = dict(digests(self._model))
                except LateintError as error:
                    self._error = error
            for name, what in (("states", "another model"), ("head", "a model with another head")):
                found, wanted = getattr(report, name), self._expected.get(name, "")
                if found != wanted:
                    return f"it has {what} [{found:.12}] than the router [{wanted:.12}]"
            self._reports.setdefault(report.member, report)
        return None

    def _load(self, manifest: Manifest) -> Model:
        setup = self._setup
        if setup.model is not None:
            return load_model(setup.model, device=setup.device, dtype=setup.dtype, precision=setup.precision, threads=1)
        return model_of(manifest, self.set.path, device=setup.device, dtype=setup.dtype, precision=setup.precision, threads=1)

    def _wait_until_ready(self) -> None:
        """Wait for a ready replica of every shard. Raises: StoreError; ModelError, if the router cannot load the model."""
        started = time.monotonic()
        while not all(shard.ready for shard in self.shards):
            waited = time.monotonic() - started
            if self._error is not None:
                raise self._error
            if self._running.done():
                self._running.result()
            if lost := [shard for shard in self.shards if self._placement.hopeless(shard)]:
                about = self.set.about.members[lost[0].number].path
                raise StoreError(f"member {about} of {self.set.path} can be opened on no node; {lost[0].problem}")
            if waited > (_START_SECONDS if self._placement.nodes else _NO_NODES_SECONDS):
                raise StoreError(self._unready(waited))
            time.sleep(0.05)
        nodes = len(self._placement.nodes)
        if nodes < self._replicas:
            self._tell(
                f"{self._replicas} replicas are wanted, but there are {nodes} nodes: as replicas of one shard never share a "
                f"node, each has {nodes} until more nodes join"
            )

    def _unready(self, waited: float) -> str:
        if not self._placement.nodes:
            return f"no node with a processor to run owners after {waited:.0f} s; start nodes that have some"
        down = next(shard for shard in self.shards if not shard.ready)
        reason = down.problem or "no node has a processor left for it"
        return f"shard {down.number} of {self.set.path} has no ready replica after {waited:.0f} s: {reason}"
