"""Open regular files only, write them atomically and durably; measure the disk space of a folder."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from lateint_store.disk.killpoints import point
from lateint_store.errors import InputError, LateintError, StoreError, StoreFull

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SECTOR, _PAGE = 512, 4096
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def disk_errors(path: Path | str, action: str, otherwise: type[LateintError] = StoreError) -> Iterator[None]:
    """Convert an OSError of a write below `path` into StoreFull, or else `otherwise`.

    StoreError and BrokenPipeError (the reader of a pipe is gone) pass through to the caller.
    """
    try:
        yield
    except (StoreError, BrokenPipeError):
        raise
    except OSError as error:
        if error.errno in FULL:
            raise StoreFull(f"no space to {action} {path}: {error.strerror}; free some space and run it again") from error
        raise otherwise(f"cannot {action} {path}: {error.strerror or error}") from error


def open_regular(path: Path, flags: int) -> int:
    """Open a regular file and return its descriptor; a link, pipe or device in its place is refused without waiting.

    Raises: StoreError for another kind of file; OSError.
    """
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a pipe or a socket
            raise not_regular(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise not_regular(path)
    return descriptor


def read_regular(path: Path) -> bytes:
    """Read a file as `regular_file` opens it. Raises: OSError."""
    with regular_file(path) as file:
        return file.read()


def regular_file(path: Path) -> BufferedReader:
    """Open a regular file, or a link to one, to read: a pipe is not waited for, an endless device does not fill the memory.

    Raises: OSError, also for any other kind of file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a pipe, device or folder, not a file", str(path))
    return os.fdopen(descriptor, "rb")


def check_regular(path: Path) -> None:
    """Refuse a link, pipe, device or folder in place of a file that a library opens. Raises: StoreError; OSError."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise not_regular(path)


def not_regular(path: Path) -> StoreError:
    """The error for anything else in place of a file of a store."""
    return StoreError(f"{path} is a link, pipe, device or folder; a store has regular files only: copy the store anew")


def sync_folder(folder: Path) -> None:
    """Make the file names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder and those above it that are missing, and make their names durable. Raises: OSError."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        with suppress(PermissionError):  # a folder that may be written but not read
            sync_folder(place.absolute().parent)


def sync_file(path: Path) -> None:
    """Make the bytes of `path` durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write `data` to a draft, sync it, rename it to `path`, sync the folder: readers see the old bytes or the new ones."""
    draft = path.with_name(path.name + ".draft")
    with disk_errors(path, "write"):
        draft.unlink(missing_ok=True)  # of a killed writer; never written through, it could be a link
        try:
            with draft.open("xb") as file:
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


@contextmanager
def replacing_files(folder: Path, last: Sequence[str] = ()) -> Iterator[Path]:
    """Yield an empty folder; at the end, its files replace those of the same names in `folder`, after all of them are synced.

    `last`: files that readers open first, in the order of their renames, after all others. An interruption before the first
    rename changes nothing. Raises: StoreFull; InputError if the folder cannot be written.
    """
    draft = folder / ".draft"
    with disk_errors(folder, "write", InputError):
        make_folder(folder)
        shutil.rmtree(draft, ignore_errors=True)  # of a killed writer
        draft.mkdir()
    try:
        yield draft
        with disk_errors(folder, "write", InputError):
            written = (file for file in draft.iterdir() if file.is_file())
            files = sorted(written, key=lambda file: (last.index(file.name) if file.name in last else -1, file.name))
            for file in files:
                file.chmod(draft.stat().st_mode & 0o666)  # as the umask says: safetensors writes for its user alone
                sync_file(file)
            for file in files:
                if file.name in last:
                    sync_folder(folder)
                file.replace(folder / file.name)
            sync_folder(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def allocated_bytes(folder: Path) -> int:
    """Bytes that a folder and everything in it occupy on disk (`st_blocks`), the folder's own blocks included.

    A file counts at most its length in whole pages. File systems also allocate metadata for scattered pages; how much
    depends on what else was written meanwhile, and would make equal stores differ.
    """
    total = folder.stat().st_blocks * _SECTOR
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a writer has just removed it
            state = path.lstat()
            total += min(state.st_blocks * _SECTOR, -(-state.st_size // _PAGE) * _PAGE)
    return total
