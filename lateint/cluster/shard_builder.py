"""Build one shard of a set on this machine and publish it. It knows no Ray: a worker of any scheduler can call it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lateint.cluster.build_job import BuildJob, identity_of
from lateint.cluster.publishing import publish_store, remove
from lateint.errors import StoreLocked, StoreMismatch
from lateint.indexing.build import build_store
from lateint.indexing.progress import BuildProgress
from lateint.indexing.store import Store, open_store
from lateint.model.model import Model
from lateint_store.format.manifest import MANIFEST_FILE, read_manifest

PASSING = (StoreLocked, ConnectionError, TimeoutError)
"""Errors that say nothing of the shard: another process that builds it here is ending, or a network failed."""


@dataclass(frozen=True, slots=True)
class BuiltShard:
    """A shard that is published: `entries` in it, `new` documents that this call encoded, `cut` of them truncated.

    first: False if another worker had published it before.
    """

    shard: int
    content_digest: str
    entries: int
    new: int
    cut: int
    first: bool


class ShardBuilder:
    """Builds shards with one model. Raises: StoreMismatch if this machine has another model than the one that began the set."""

    def __init__(self, job: BuildJob) -> None:
        self._job = job
        job.documents.check()
        self._model: Model = job.load()
        if (mine := identity_of(job, self._model)) != job.identity:
            names = ", ".join(name for name in mine if mine[name] != job.identity[name])
            raise StoreMismatch(
                f"this machine has another {names} than the one that began {job.out}; install the same everywhere"
            )

    def build(self, shard: int, report: Callable[[int], None]) -> BuiltShard:
        """Build a shard, or build it on, seal it, and publish it; `report` gets the number of documents read so far.

        Raises: as `build_store`, `Store.seal` and `publish_store`.
        """
        place = self._job.workshop(shard)
        seen: list[BuildProgress] = []
        report(0)

        def observe(now: BuildProgress) -> None:
            seen.append(now)
            report(sum(window.documents for window in seen))

        with self._sealed(shard, place, observe) as store:
            digest, entries = store.content_digest(), len(store)
        first = publish_store(place, self._job.place(shard))
        remove(place)
        with suppress(OSError):
            place.parent.rmdir()  # unless another shard is being built beside it
        new = sum(window.documents - window.again for window in seen)
        return BuiltShard(shard, digest, entries, new, sum(window.cut for window in seen), first)

    def _sealed(self, shard: int, place: Path, observe: Callable[[BuildProgress], None]) -> Store:
        """Return the finished shard, open for reading; one that was killed while it was published is there already."""
        if (place / MANIFEST_FILE).exists() and read_manifest(place).sealed:
            return open_store(place)
        job = self._job
        store = build_store(
            self._model, job.documents, place, job.codecs, observe,
            chunks=job.chunks, shard=(shard, job.shards), window=job.documents.plan.size, map_size=job.map_size,
        )  # fmt: skip
        try:
            store.seal()
        except BaseException:
            store.close()
            raise
        return store
