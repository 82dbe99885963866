"""Where a shard is, and what LMDB's errors on it mean."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lmdb

from lateint_store.disk.files import FORBIDDEN, FULL
from lateint_store.errors import DamagedStore, StoreError, StoreFull

DATA, LOCK = "data.mdb", "lock.mdb"
MAX_READERS = 2048


@dataclass(frozen=True, slots=True)
class Location:
    """Where a shard is, to open it and to name it in errors. `sealed`: (bytes, structure digest) of its file, or None."""

    store: Path
    folder: Path
    shard: int
    map_size: int
    sealed: tuple[int, str] | None = None

    @property
    def data(self) -> Path:
        """The LMDB file."""
        return self.folder / DATA

    @property
    def size(self) -> int:
        """Bytes of the LMDB file."""
        return self.data.stat().st_size

    def damaged(self, reason: str, ordinal: int | None = None, doc_id: str | None = None) -> DamagedStore:
        """A DamagedStore error that names this shard."""
        return DamagedStore(str(self.store), reason, shard=self.shard, ordinal=ordinal, doc_id=doc_id)


class SameProcessId(StoreError):
    """Another process, in another container, holds the lock that stands for this process's id in LMDB's lock file."""

    def __init__(self, location: Location) -> None:
        super().__init__(
            f"another process with process id {os.getpid()}, in another container, has store {location.store} open, and LMDB "
            "tells processes apart by their ids: share the process namespace between the containers, seal the store, or "
            "read it here while nobody has it open for writing"
        )


class MapFull(StoreFull):
    """A transaction found no free page in the map. The disk may have room; what was committed is intact."""


@contextmanager
def lmdb_errors(location: Location, *, writing: bool = False) -> Iterator[None]:
    """Convert LMDB's exceptions into the errors of this package."""
    try:
        yield
    except lmdb.MapFullError as error:
        raise MapFull(
            f"the map of {location.folder} is full ({location.map_size} bytes, or less under a limit of address space such "
            f"as ulimit -v): {error}"
        ) from error
    except lmdb.ReadersFullError as error:
        raise StoreError(f"{location.folder}: all {MAX_READERS} reader slots are in use: {error}") from error
    except lmdb.Error as error:
        code = getattr(error, "code", 0)
        if code == errno.EAGAIN:
            raise SameProcessId(location) from error
        if writing and (code in FULL or code == errno.EIO):
            raise StoreFull(
                f"cannot write {location.data}: {error}; free some space and run it again; what was committed is intact"
            ) from error
        if "closed" in str(error).lower():
            raise StoreError(f"store {location.store} is closed") from error
        raise location.damaged(f"LMDB says {error}") from error


def open_error(location: Location, error: lmdb.Error) -> StoreError:
    """The error to raise if LMDB cannot open a file."""
    code = getattr(error, "code", 0)
    if code == errno.EAGAIN:
        return SameProcessId(location)
    if out_of_memory(error):
        return StoreError(
            f"no address space to map {location.data}: {error}; raise the limit (ulimit -v), or build with a smaller map_size "
            f"than {location.map_size} bytes (--map-size)"
        )
    if isinstance(error, lmdb.ReadonlyError) or code in FORBIDDEN:
        return StoreError(
            f"cannot open {location.folder}: {error}; readers of an unsealed store need write permission "
            "for its lock file: seal the store to serve it read-only"
        )
    if "already open" in str(error):  # by another user of LMDB, or inherited through a fork inside a transaction
        return StoreError(f"{location.data} is already open in this process, not through lateint_store: {error}")
    if code in FULL:
        return StoreFull(f"no space to open {location.folder}: {error}")
    return location.damaged(f"LMDB cannot open {location.data}: {error}")


def out_of_memory(error: lmdb.Error) -> bool:
    """True if there is no address space left."""
    return isinstance(error, lmdb.MemoryError) or getattr(error, "code", 0) == errno.ENOMEM
