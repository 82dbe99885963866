"""`build_set`: build the shards of a store on many machines at once, and publish them as a set that opens as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lateint.cluster.build_job import BuildJob, begin, identity_of
from lateint.cluster.connection import connected
from lateint.cluster.publishing import clean
from lateint.cluster.shard_builder import PASSING, BuiltShard, ShardBuilder
from lateint.cluster.work_queue import Fault, FaultCount, WorkQueue
from lateint.errors import InputError
from lateint.indexing.chunks import Chunks
from lateint.indexing.store import Store, open_store
from lateint.indexing.windows import PlannedDocuments
from lateint.methods.registry import Part
from lateint.model.model import Model
from lateint_store.arguments import as_count, as_path
from lateint_store.derive.publish import create_set
from lateint_store.format.set_manifest import MAX_MEMBERS

if TYPE_CHECKING:
    from lateint.cluster.crew import Needs


@dataclass(frozen=True, slots=True)
class SetProgress:
    """State of a build: documents read of all, shards published of all, and the workers that are at work."""

    documents: int
    total: int
    published: int
    shards: int
    workers: int


SetReporter = Callable[[SetProgress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """How a build is spread. engine: as `connected` takes it. workers: processes; None for as many as the cluster can hold.

    gpus: graphics processors of each, which may be a part of one. scratch: folder of each machine for unfinished shards.
    load: how workers load the model, such as on a GPU, if not as the process that calls `build_set`.
    """

    engine: str = "ray"
    workers: int | None = None
    gpus: float = 0.0
    cpus: int = 1
    scratch: str | os.PathLike[str] | None = None
    load: Callable[[], Model] | None = None


def build_set(
    load: Callable[[], Model],
    documents: PlannedDocuments,
    path: str | os.PathLike[str],
    codecs: Mapping[str, tuple[Part, ...]] | None = None,
    *,
    shards: int,
    workers: WorkerSpec | None = None,
    chunks: Chunks | None = None,
    map_size: int | None = None,
    report: SetReporter | None = None,
) -> Store:
    """Build `shards` stores on a Ray cluster, and publish them at `path` as a set. The same call after a failure continues.

    Args: `load` loads the model, here and on each machine, with one torch thread (`partial(load_model, name, threads=1)`);
    `documents`, the corpus by its plan, at one path on all machines; `path`, a folder that all machines share; `report`, called
    several times a second with a `SetProgress`; the rest as `build_store`.
    Returns: the set, open for reading; its members are sealed. Merged, they have the content digest of one build.
    Raises: as `connected`; ClusterError naming a shard that failed three times with the same error; StoreMismatch if the folder
    was begun with another model, corpus, codecs or number of shards, or if a machine has another model; StoreError if it holds
    anything else. Cost: that of `build_store`, divided by the workers, and a copy of each shard.
    """
    if "://" in os.fspath(path):
        raise InputError(f"{path} is a URL; build into a folder that all machines share")
    spread = WorkerSpec() if workers is None else workers
    scratch = None if spread.scratch is None else as_path(spread.scratch, "scratch")
    job = BuildJob(
        load=load, documents=documents, out=as_path(path).absolute(), shards=as_count(shards, "shards", most=MAX_MEMBERS),
        codecs=codecs, chunks=chunks, map_size=map_size, scratch=scratch,
    )  # fmt: skip
    documents.check()
    job = replace(job, identity=identity_of(job, load()), load=spread.load or load)
    if not begin(job):
        _build_missing(job, spread, report)
        create_set(job.out, [job.place(shard) for shard in range(job.shards)])
        clean(job.out)
    return open_store(job.out)


def _build_missing(job: BuildJob, spread: WorkerSpec, report: SetReporter | None) -> None:
    """Build and publish the shards that are not there."""
    there = set(job.published())
    missing = [shard for shard in range(job.shards) if shard not in there]
    counted = _Counter(job, there, report)
    if not missing:
        return
    queue, starts = WorkQueue("shard", missing), FaultCount("the start of a worker")
    with _crew(job, spread) as run, closing(run(queue, starts, counted.tick)) as results:
        for shard, _ in results:
            counted.published(shard)


@contextmanager
def _crew(job: BuildJob, spread: WorkerSpec) -> Iterator[Callable[..., Generator[tuple[int, object], None, None]]]:
    """Connect, and give the method that runs a queue."""
    with connected(spread.engine):
        from lateint.cluster.crew import Crew

        yield Crew(ShardWorker, (job,), needs_of(spread)).run


def needs_of(spread: WorkerSpec) -> Needs:
    """Return what each worker takes of a machine. Raises: InputError."""
    from lateint.cluster.crew import Needs

    workers = None if spread.workers is None else as_count(spread.workers, "workers")
    if spread.gpus < 0:
        raise InputError(f"gpus={spread.gpus}; expected 0 or more graphics processors for each worker")
    return Needs(workers, as_count(spread.cpus, "cpus"), spread.gpus)


class ShardWorker:
    """What runs in a process of Ray."""

    def __init__(self, job: BuildJob) -> None:
        self._job, self._at = job, 0

    def start(self) -> Fault | None:
        """Load the model."""
        try:
            self._builder = ShardBuilder(self._job)
        except Exception as error:  # whatever it is, the driver decides
            return Fault.of(error, isinstance(error, PASSING))
        return None

    def work(self, piece: int) -> BuiltShard | Fault:
        """Build and publish a shard."""
        try:
            return self._builder.build(piece, self._report)
        except Exception as error:
            return Fault.of(error, isinstance(error, PASSING))

    def progress(self) -> int:
        """Documents of the present shard that are read."""
        return self._at

    def _report(self, documents: int) -> None:
        self._at = documents


class _Counter:
    """Counts documents over all shards."""

    def __init__(self, job: BuildJob, there: set[int], report: SetReporter | None) -> None:
        self._job, self._there, self._report = job, there, report
        self._done = sum(job.documents.shard_size(shard, job.shards) for shard in there)

    def published(self, shard: int) -> None:
        self._there.add(shard)
        self._done += self._job.documents.shard_size(shard, self._job.shards)
        self.tick(0, 0)

    def tick(self, unfinished: int, workers: int) -> None:
        if self._report is not None:
            total = len(self._job.documents)
            read = min(total, self._done + unfinished)
            self._report(SetProgress(read, total, len(self._there), self._job.shards, workers))
