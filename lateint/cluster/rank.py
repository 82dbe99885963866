"""`rank_set`: rank any number of queries on a Ray cluster. Owners of documents score them; states never travel, scores do."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lateint.cluster.connection import connected
from lateint.cluster.rank_parts import Owners, RankFolder, Task
from lateint.cluster.work_queue import Fault, FaultCount, WorkQueue
from lateint.errors import LateintError, StoreError
from lateint.indexing.fingerprint import fingerprint, head_digest
from lateint.indexing.store import Store, open_store
from lateint.model.digests import digest_json
from lateint.model.model import Model
from lateint.ranking.ranker import Ranker
from lateint_store.arguments import as_count, as_path

if TYPE_CHECKING:
    from lateint.cluster.build import WorkerSpec

Loader = Callable[[], Model]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankJob:
    """What every worker of a ranking is started with; it is pickled to them.

    members: folders of the stores, on every machine. model: digest of the weights that all must score with.
    """

    load: Loader
    members: tuple[Path, ...]
    aggregate: str | None
    model: str


class RankWorker:
    """What runs in a process of Ray: a model, and the member that it scores."""

    def __init__(self, job: RankJob) -> None:
        self._job, self._at = job, 0
        self._open: tuple[int, Store, Ranker] | None = None

    def start(self) -> Fault | None:
        """Load the model."""
        try:
            self._model = self._job.load()
            if model_digest(self._model) != self._job.model:
                raise StoreError("this machine has another version of the model; install the same everywhere")
        except Exception as error:  # whatever it is, the driver decides
            return Fault.of(error)
        return None

    def work(self, piece: int, tasks: list[Task]) -> NDArray[np.float64] | Fault:
        """Score the candidates of a part: float64, one for each candidate, NaN for those that the member lacks."""
        self._at = 0
        try:
            ranker = self._ranker(piece % len(self._job.members))
            return np.array([score for task in tasks for score in self._scores(ranker, task)], np.float64)
        except Exception as error:
            return Fault.of(error)

    def progress(self) -> int:
        """Candidates of the present part that are scored."""
        return self._at

    def _scores(self, ranker: Ranker, task: Task) -> list[float]:
        if not task.ids:
            return []
        try:
            found = {hit.doc_id: hit.score for hit in ranker.rank(task.query, task.ids, missing="skip")}
        except LateintError as error:
            raise type(error)(f"query {task.query_id!r}: {error}") from error
        self._at += len(task.ids)
        return [found.get(doc_id, float("nan")) for doc_id in task.ids]

    def _ranker(self, member: int) -> Ranker:
        if self._open is not None and self._open[0] != member:
            self._open[1].close()
            self._open = None
        if self._open is None:
            store = open_store(self._job.members[member])
            self._open = member, store, Ranker(self._model, store, aggregate=self._job.aggregate)
        return self._open[2]


def rank_set(
    load: Loader,
    store: Store,
    queries: Iterable[tuple[str, str, list[str]]],
    folder: str | os.PathLike[str],
    *,
    workers: WorkerSpec | None = None,
    aggregate: str | None = None,
    top_k: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Yield each query with its best documents and scores, as one `Ranker` over the store would give them.

    Args: `load` loads the model, here and on each machine; `store`, an open store or set, at one path on all machines;
    `queries`, the id, text and candidates of each, read once; candidates that no member holds are skipped; `folder` keeps
    finished parts, so that the same call continues after a failure, and is removed after the last query; `report` gets the
    number of scored candidates and of all.
    Raises: as `connected`, `Ranker` and `Ranker.rank`; ClusterError naming a part that failed three times with the same error.
    """
    from lateint.cluster.build import WorkerSpec

    top_k = None if top_k is None else as_count(top_k, "top_k")
    model = load()
    Ranker(model, store, aggregate=aggregate)
    owners = Owners(store)
    kept = RankFolder(as_path(folder, "folder"), len(owners.members))
    about: dict[str, object] = {
        "store": store.content_digest(), "model": model_digest(model), "aggregate": aggregate, "members": len(owners.members)
    }  # fmt: skip
    parts = kept.spool(_divided(owners, queries), about)
    job = RankJob(
        load=load, members=tuple(path.absolute() for path in owners.members), aggregate=aggregate, model=str(about["model"])
    )
    _score_missing(job, kept, parts, workers or WorkerSpec(), report)
    yield from kept.join(parts, top_k)
    kept.remove()


def model_digest(model: Model) -> str:
    """The digest of everything that a score depends on, besides the store."""
    return digest_json({"states": fingerprint(model), "head": head_digest(model)})


def _divided(owners: Owners, queries: Iterable[tuple[str, str, list[str]]]) -> Iterator[tuple[Task, list[list[str]]]]:
    """Yield each query with the candidates of each member."""
    with ExitStack() as opened:
        stores = [] if owners.computed else [opened.enter_context(open_store(path)) for path in owners.members]
        for query_id, text, ids in queries:
            held = None if owners.computed else [store.held(ids) for store in stores]
            yield Task(query_id, text, ids), owners.split(ids, held)


def _score_missing(
    job: RankJob, kept: RankFolder, parts: int, spread: WorkerSpec, report: Callable[[int, int], None] | None
) -> None:
    """Score the parts that have no scores yet."""
    missing = kept.missing(parts)
    if not missing:
        return
    sizes = {part: sum(len(task.ids) for task in kept.tasks(part)) for part in range(parts)}
    total, done = sum(sizes.values()), sum(sizes[part] for part in range(parts) if part not in set(missing))

    def tick(unfinished: int, _: int) -> None:
        if report is not None:
            report(min(total, done + unfinished), total)

    with connected(spread.engine), closing(_run(job, kept, spread, missing, tick)) as results:
        for part, scores in results:
            kept.keep(part, scores)
            done += sizes[part]


def _run(
    job: RankJob, kept: RankFolder, spread: WorkerSpec, missing: list[int], tick: Callable[[int, int], None]
) -> Generator[tuple[int, Any], None, None]:
    """Yield parts with their scores."""
    from lateint.cluster.build import needs_of
    from lateint.cluster.crew import Crew

    crew = Crew(RankWorker, (job,), needs_of(spread), kept.tasks)
    return crew.run(WorkQueue("part", missing), FaultCount("the start of a worker"), tick)
