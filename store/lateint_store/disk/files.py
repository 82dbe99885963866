"""Files that are either there completely or not at all, and what a folder takes on disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lateint_store.disk.killpoints import point
from lateint_store.errors import LateintError, StoreError, StoreFull

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SECTOR, _PAGE = 512, 4096
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def disk_errors(path: Path | str, action: str, otherwise: type[LateintError] = StoreError) -> Iterator[None]:
    """Turn an OSError of a write below `path` into StoreFull, or `otherwise`; StoreErrors pass.

    That the reader of a pipe went away is for the caller.
    """
    try:
        yield
    except (StoreError, BrokenPipeError):
        raise
    except OSError as error:
        if error.errno in FULL:
            raise StoreFull(f"no space to {action} {path}: {error.strerror}; free some, then run it again") from error
        raise otherwise(f"cannot {action} {path}: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the bytes of `path` durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write `data` beside `path`, sync, rename, sync the folder: readers see the old bytes or the new ones."""
    draft = path.with_name(path.name + ".draft")
    with disk_errors(path, "write"):
        try:
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        point("manifest.before_rename")
        draft.replace(path)
        sync_folder(path.parent)
    point("manifest.after_rename")


def allocated_bytes(folder: Path) -> int:
    """Bytes that a folder and everything in it take on disk (`st_blocks`), the folder's own blocks included.

    A file counts for no more than its length in whole pages: what a file system allocates beside it to find scattered pages
    again depends on what else was written meanwhile, and equal stores would differ.
    """
    total = folder.stat().st_blocks * _SECTOR
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a writer removed it meanwhile
            state = path.lstat()
            total += min(state.st_blocks * _SECTOR, -(-state.st_size // _PAGE) * _PAGE)
    return total
