"""Publish a finished folder into one that many machines share: all of it appears at once, and the first one stays."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from uuid import uuid4

from lateint.errors import DamagedStore, StoreMismatch
from lateint.indexing.store import open_store
from lateint_store.disk.files import disk_errors, sync_file, sync_folder
from lateint_store.disk.killpoints import point
from lateint_store.reading.verify import verify_store

_DRAFT = ".incoming-"
_THERE = (errno.ENOTEMPTY, errno.EEXIST)


def publish_store(built: Path, place: Path) -> bool:
    """Copy a sealed store beside `place`, verify the copy, and rename it to `place`. Returns: False if one is there already.

    Raises: StoreMismatch if the one that is there has another content; StoreFull, StoreError; DamagedStore for a bad copy.
    """
    if not place.exists():
        draft = place.with_name(f"{_DRAFT}{place.name}-{uuid4().hex[:12]}")
        try:
            with disk_errors(draft, "write"):
                shutil.copytree(built, draft)
                for path in draft.rglob("*"):
                    sync_folder(path) if path.is_dir() else sync_file(path)
            _check_copy(draft)
            point("cluster.copied")
            if _rename(draft, place):
                return True
        finally:
            remove(draft)
    _check_equal(built, place)
    return False


def clean(folder: Path) -> None:
    """Remove copies that killed workers left unfinished."""
    for draft in folder.glob(f"{_DRAFT}*"):
        remove(draft)


def remove(folder: Path) -> None:
    """Remove a folder, if it is there; files of a sealed store may be read-only."""
    shutil.rmtree(folder, ignore_errors=True)


def _check_copy(draft: Path) -> None:
    """Read every byte of a copy. Raises: DamagedStore."""
    report = verify_store(draft)
    if not report.ok:
        raise DamagedStore(str(draft), f"the copy differs from what was built: {report.problems[0].reason}")


def _rename(draft: Path, place: Path) -> bool:
    """Rename a folder to a name that is free. Returns: False if it is taken."""
    with disk_errors(place, "publish"):
        try:
            draft.rename(place)
        except OSError as error:
            if error.errno in _THERE:
                return False
            raise
        sync_folder(place.parent)
    return True


def _check_equal(built: Path, place: Path) -> None:
    """Refuse a published store with another content than the one that was built. Raises: StoreMismatch."""
    digests = []
    for folder in (built, place):
        with open_store(folder) as store:
            digests.append(store.content_digest())
    if digests[0] != digests[1]:
        raise StoreMismatch(
            f"{place} was published with content digest {digests[1][:12]}, and was built here with {digests[0][:12]}: the "
            "machines compute differently, or their libraries differ; build the set anew on equal machines"
        )
