"""`BuildJob`: everything that a worker needs to build any shard of a set, and the file that says which set a folder is for."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from lateint.errors import InputError, StoreError, StoreMismatch
from lateint.indexing.build import store_layout
from lateint.indexing.chunks import Chunks
from lateint.indexing.windows import PlannedDocuments
from lateint.methods.registry import Part
from lateint.model.digests import digest_json
from lateint.model.model import Model
from lateint_store import format_codecs
from lateint_store.disk.files import disk_errors, make_folder, read_regular, replace_file
from lateint_store.format.manifest import MANIFEST_FILE, read_manifest

JOB_FILE, PLAN_FILE = "build.json", "corpus.windows"
_FORMAT = "lateint set build"
_DIGEST = re.compile("[0-9a-f]{32,}")
_MEMBER = "member-{:04d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildJob:
    """What all workers of a build are started with; it is pickled to them.

    load: loads the model; every worker calls it once. documents: the corpus, at one path on every machine. out: folder of the
    set, which all machines share. scratch: folder of each machine for unfinished shards; None for its temporary folder.
    """

    load: Callable[[], Model]
    documents: PlannedDocuments
    out: Path
    shards: int
    codecs: Mapping[str, tuple[Part, ...]] | None = None
    chunks: Chunks | None = None
    map_size: int | None = None
    scratch: Path | None = None
    identity: dict[str, object] = field(default_factory=dict)

    def place(self, shard: int) -> Path:
        """The folder of a published shard."""
        return self.out / _MEMBER.format(shard)

    def workshop(self, shard: int) -> Path:
        """The folder on this machine where a shard is built; the same one when it is built on."""
        root = self.scratch or Path(tempfile.gettempdir()) / f"lateint-{os.getuid()}"
        return root / digest_json(self.identity | {"out": str(self.out)})[:16] / _MEMBER.format(shard)

    def published(self) -> list[int]:
        """Return the shards that are published.

        Raises: StoreMismatch, StoreError for a folder in their place that is no shard of this build.
        """
        return [shard for shard in range(self.shards) if self._is_there(shard)]

    def _is_there(self, shard: int) -> bool:
        place = self.place(shard)
        if not place.exists():
            return False
        manifest = read_manifest(place)
        if not manifest.sealed or manifest.shard != (shard, self.shards):
            raise StoreError(f"{place} is no finished shard {shard}/{self.shards}; choose another folder for the set")
        if states_of(manifest.plain("fingerprint")) != self.identity["states"]:
            raise StoreMismatch(f"{place} was built by another model, or another version of it; choose another folder")
        return True


def states_of(fingerprint: object) -> str:
    """The digest of what stored arrays depend on."""
    return digest_json(fingerprint)


def identity_of(job: BuildJob, model: Model) -> dict[str, object]:
    """Return what a folder must have been begun with to be continued. Raises: as `store_layout`."""
    pipelines, about = store_layout(model, job.codecs, job.chunks)
    return {
        "shards": job.shards,
        "corpus": job.documents.plan.content,
        "states": states_of(about["fingerprint"]),
        "codecs": format_codecs({name: pipeline.parts for name, pipeline in pipelines.items()}),
        "chunks": None if job.chunks is None else str(job.chunks),
    }


def begin(job: BuildJob) -> bool:
    """Make the folder of a set, or check that it was begun by this job. Returns: True if the set is published already.

    Raises: StoreError if it holds anything else; StoreMismatch if it was begun with another model, corpus or number of shards.
    """
    file = job.out / JOB_FILE
    refuse_other(job.out)
    if not file.exists():
        with disk_errors(job.out, "create"):
            make_folder(job.out)
        replace_file(file, json.dumps({"format": _FORMAT, "version": 1, **job.identity}).encode())
    begun = _read(file)
    if differing := [name for name in job.identity if begun.get(name) != job.identity[name]]:
        shown = "; ".join(f"{name} {_shown(begun.get(name))} there, {_shown(job.identity[name])} here" for name in differing)
        raise StoreMismatch(f"{job.out} was begun as another set: {shown}; choose another folder, or repeat the first command")
    return (job.out / MANIFEST_FILE).exists()


def refuse_other(out: Path) -> None:
    """Refuse a folder that holds something else than a set that was begun. Raises: StoreError."""
    if not out.exists() or (out / JOB_FILE).exists():
        return
    if there := sorted(path.name for path in out.iterdir() if path.name != PLAN_FILE) if out.is_dir() else [out.name]:
        raise StoreError(f"{out} holds {there[0]!r} already, and no build of a set; choose another folder")


def _read(file: Path) -> dict[str, object]:
    try:
        found = json.loads(read_regular(file))
        if not isinstance(found, dict) or (found.get("format"), found.get("version")) != (_FORMAT, 1):
            raise ValueError("another format or version")
    except (OSError, ValueError) as error:
        raise InputError(f"{file} does not say how its set is built: {error}; choose another folder") from error
    return cast("dict[str, object]", found)


def _shown(value: object) -> str:
    return str(value)[:60] if isinstance(value, str) and not _DIGEST.fullmatch(value) else str(value)[:12]
