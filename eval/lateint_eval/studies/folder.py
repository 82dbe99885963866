"""The folder of a study: whose it is, one writer at a time, files that are there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lateint_eval.formats.output import replacing
from lateint_eval.formats.records import Json
from lateint_eval.studies.spec import Study
from lateint_store.disk.locking import WriterLock
from lateint_store.errors import InputError, StoreLocked

_SCHEMA = 1
CLAIM = "study.json"
_SHARED = ("data", "measures", "seed")  # what every point depends on; grids may change, points are known by what they are


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths inside a study's folder."""

    path: Path

    def point(self, point_id: str) -> Path:
        """What was measured at a point."""
        return self.path / "points" / f"{point_id}.json"

    def run(self, point_id: str, data: str) -> Path:
        """The run of a point on a data set."""
        return self.path / "runs" / f"{point_id}.{data}.trec"

    @property
    def stores(self) -> Path:
        """Stores, while they are needed."""
        return self.path / "stores"

    def write(self, file: Path, data: object) -> None:
        """Write JSON; the file appears whole."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as write:
            write(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def read(self, file: Path) -> Any:
        """Read what `write` wrote. Raises: InputError if it is damaged: no file of ours is ever there in part."""
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {file}: {error}; delete it, then run the study again to measure it anew") from error


@contextmanager
def claimed(path: Path, study: Study, facts: Json) -> Iterator[Folder]:
    """A study's folder, made or gone on with; of a study whose grids were changed, the points that still belong to it count.

    Args: `facts`: what else must be equal for old points to stand beside new ones (versions).
    Raises: InputError if it holds a study of other data, measures or seed, or another version's, or something else, or
    another process works in it.
    """
    if path.exists() and not (path / CLAIM).exists() and any(file.name != "writer.lock" for file in path.iterdir()):
        raise InputError(f"{path} is not empty and holds no study; choose another folder")
    path.mkdir(parents=True, exist_ok=True)
    try:
        lock = WriterLock(path)
    except StoreLocked as error:
        raise InputError(f"another study is being run in {path}; wait until it is done, or choose another folder") from error
    try:
        folder = Folder(path)
        wanted = {"schema": _SCHEMA, "study": json.loads(json.dumps(study.to_json())), "facts": facts}
        if (path / CLAIM).exists():
            _compare(path, wanted)
        folder.write(path / CLAIM, wanted)
        yield folder
    finally:
        lock.release()


def _compare(path: Path, wanted: Json) -> None:
    try:
        there = json.loads((path / CLAIM).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path / CLAIM}: {error}; choose another folder") from error
    schema = there.get("schema") if isinstance(there, dict) else None
    if schema != _SCHEMA:
        raise InputError(f"{path} holds a study of another version (schema {schema}, here {_SCHEMA}); choose another folder")
    for part, keys in (("study", _SHARED), ("facts", wanted["facts"])):
        differing = [key for key in keys if there[part].get(key) != wanted[part][key]]
        if differing:
            key = differing[0]
            raise InputError(
                f"{path} holds another study: {key} is {there[part].get(key)!r} there and {wanted[part][key]!r} here; "
                "choose another folder"
            )
