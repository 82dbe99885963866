"""The folder of a study: it belongs to one study, has one writer at a time, and contains only complete files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lateint.model.digests import digest_json
from lateint_eval.formats.output import replacing
from lateint_eval.formats.records import Json
from lateint_eval.studies.spec import Study
from lateint_store.disk.files import make_folder, read_regular
from lateint_store.disk.locking import WriterLock
from lateint_store.errors import InputError, StoreLocked

_SCHEMA = 1
CLAIM = "study.json"
_POINT = ("point", "digest")  # keys of a point's file: its results, and their digest
_SHARED = ("data", "measures", "seed")  # every point depends on these; grids may change, as point ids hash the settings


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths inside a study's folder."""

    path: Path

    def point(self, point_id: str) -> Path:
        """Return the file of a point's results."""
        return self._points / f"{point_id}.json"

    @property
    def _points(self) -> Path:
        return self.path / "points"

    def run(self, point_id: str, data: str) -> Path:
        """Return the file of a point's run on a data set."""
        return self.path / "runs" / f"{point_id}.{data}.trec"

    @property
    def stores(self) -> Path:
        """Return the folder of temporary stores."""
        return self.path / "stores"

    def write(self, file: Path, data: object) -> None:
        """Write JSON, completely or not at all; results of a point beside their digest."""
        if file.parent == self._points and isinstance(data, dict):
            data = dict(zip(_POINT, (data, digest_json(data)), strict=True))
        make_folder(file.parent)
        with replacing(file) as write:
            write(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def read(self, file: Path) -> Any:
        """Read a file of `write`. Raises: InputError if it is damaged, which an interrupted study cannot cause."""
        try:
            data = json.loads(read_regular(file))
            if file.parent == self._points and any(name in data for name in _POINT):  # an earlier version wrote no digest
                point, expected = (data[name] for name in _POINT)
                if expected != digest_json(point):
                    raise ValueError("its digest does not match")
                return point
            return data
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"cannot read {file}: {error}; delete it, then run the study again to measure it anew") from error


@contextmanager
def claimed(path: Path, study: Study, facts: Json) -> Iterator[Folder]:
    """Create or reopen the folder of a study and lock it; points from earlier grids of the study are reused.

    Args: `facts` are further values that must be equal to reuse old points (versions, machine).
    Raises: InputError if the folder holds a study of other data, measures or seed, a study of another version, or other
    files, or if another process uses it.
    """
    if path.exists() and not (path / CLAIM).exists() and any(file.name != "writer.lock" for file in path.iterdir()):
        raise InputError(f"{path} is not empty and holds no study; choose another folder")
    make_folder(path)
    try:
        lock = WriterLock(path)
    except StoreLocked as error:
        raise InputError(f"another study is running in {path}; wait until it is done, or choose another folder") from error
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
        there = json.loads(read_regular(path / CLAIM))
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
