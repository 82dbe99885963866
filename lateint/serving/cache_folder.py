"""The folder of a text cache: who uses it, and transactions on the one LMDB file in it.

```text
cache.json          format and bound, written once
writer.lock         locked (flock) by every user, shared; exclusively by a process that prepares the folder
entries/data.mdb    LMDB, never larger than its map
entries/lock.mdb    LMDB's reader table
```

Only a process that is alone empties the folder: if its file is damaged, or larger than the bound.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lateint.errors import DamagedStore, StoreError, StoreLocked
from lateint_store.disk.activity import exclusive
from lateint_store.disk.environment import (
    LOCK_BYTES,
    Environment,
    acquire,
    create_environment,
    forget,
    reading,
    release,
    retain,
)
from lateint_store.disk.files import allocated_bytes, disk_errors, make_folder, read_regular, replace_file, sync_folder
from lateint_store.disk.location import Location, lmdb_errors
from lateint_store.disk.locking import LOCK_FILE, WriterLock, share_lock
from lateint_store.format.block import BlockFormat
from lateint_store.shards.shards import writing
from lateint_store.shards.snapshot import Snapshot

LEAST_BYTES = 4 << 20
_CACHE_FILE, _ENTRIES = "cache.json", "entries"
_BEFORE = {f"{_CACHE_FILE}.draft", LOCK_FILE}  # what a folder may hold before it is a cache
_BESIDE = LOCK_BYTES + (64 << 10)  # bytes of everything but the LMDB file
_PATIENCE, _PAUSE = 60, 0.05  # seconds to wait for a process that prepares the folder, and between two looks


class CacheFolder:
    """An open cache folder. Threads, forked children and other processes share it; they must give the same bound.

    Files in the folder never exceed `max_bytes`: that of LMDB cannot grow beyond its map, which is the rest.
    Raises: StoreError for a folder that is not a cache, cannot be written, or is in use with another bound; StoreFull.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.path = folder
        self._description = {"format": "lateint text cache", "format_version": 1, "max_bytes": max_bytes}
        self._location = Location(folder, folder / _ENTRIES, 0, max_bytes - _BESIDE)
        self._open: list[tuple[Environment, Location]] = []
        self._pid, self._closed = os.getpid(), False
        self._unlock: Callable[[], object] = int  # once the folder is shared: gives the lock back
        self._claim()
        weakref.finalize(self, forget, self._open).atexit = False

    @property
    def map_size(self) -> int:
        """Bytes that the LMDB file may have, fewer under a limit of address space."""
        with self._held() as environment:
            size: int = environment.env.info()["map_size"]
            return size

    @property
    def bytes(self) -> int:
        """Bytes on disk of everything in the folder."""
        return allocated_bytes(self.path)

    @contextmanager
    def reading(self, format: BlockFormat) -> Iterator[Snapshot]:
        """Open one short read transaction; it never waits for a writer."""
        with (
            self._held() as environment,
            reading([(environment, self._location)]) as (transaction,),
            lmdb_errors(self._location),
        ):
            yield Snapshot(environment, self._location, format, transaction)

    @contextmanager
    def writing(self, format: BlockFormat) -> Iterator[Snapshot]:
        """Open a write transaction: durable after the block, undone by an exception. Waits for writers of all processes.

        Raises: MapFull if it finds no free page; StoreFull; StoreError.
        """
        with self._held() as environment, writing(environment, self._location, format) as snapshot:
            yield snapshot

    def close(self) -> None:
        """Close the folder for this process; open transactions finish first."""
        with exclusive():
            self._closed = True
            for environment, _ in self._open:
                release(environment)
            self._open.clear()
        self._unlock()

    @contextmanager
    def _held(self) -> Iterator[Environment]:
        """The environment of this process, kept open meanwhile."""
        with exclusive():
            if self._closed:
                raise StoreError(f"cache {self.path} is closed")
            if self._pid != os.getpid():  # what a child inherits was closed by the fork
                self._open[:] = [(acquire(self._location, write=True, checked=True), self._location)]
                self._pid = os.getpid()
            environment, _ = self._open[0]
            retain(environment)
        try:
            yield environment
        finally:
            release(environment)

    def _claim(self) -> None:
        """Open the folder, and prepare it first if no other process uses it."""
        with disk_errors(self.path, "create"):
            make_folder(self.path)
            names = sorted(entry.name for entry in self.path.iterdir())
            described = (self.path / _CACHE_FILE).exists()  # looked at last: another process may make the folder a cache
            known = {*_BEFORE, _CACHE_FILE, _ENTRIES} if described else _BEFORE
            foreign = [name for name in names if name not in known]
        if foreign:
            raise StoreError(f"{self.path} is not a cache (it contains {foreign[0]!r}); choose another folder")
        for _ in range(int(_PATIENCE / _PAUSE)):
            self._prepare_alone()
            if self._share():
                return
            time.sleep(_PAUSE)
        raise StoreLocked(f"cache {self.path} is being prepared by another process; start again, or choose another folder")

    def _prepare_alone(self) -> None:
        """Bring the folder into its described state and open it, unless another process uses it."""
        try:
            lock = WriterLock(self.path)
        except StoreLocked:
            return
        try:
            self._open[:] = [(self._prepared(), self._location)]
        finally:
            lock.release()

    def _prepared(self) -> Environment:
        """Open the LMDB file of a folder that no other process uses; an empty one if it does not fit, or is damaged."""
        location, there = self._location, self._described()
        with disk_errors(self.path, "prepare"):
            if there is not None and location.data.is_file() and location.size <= location.map_size:
                if there != self._description:
                    self._describe()
                try:
                    return acquire(location, write=True)
                except DamagedStore:  # everything in it can be computed again
                    pass
            self._describe()
            shutil.rmtree(location.folder, ignore_errors=True)
        environment = create_environment(location)
        with disk_errors(self.path, "prepare"):
            sync_folder(location.folder)
            sync_folder(self.path)
        return environment

    def _share(self) -> bool:
        """Become one of the folder's users. False if another process prepares it, or has replaced what was opened."""
        try:
            descriptor = share_lock(self.path)
            self._unlock = unlock = weakref.finalize(self, os.close, descriptor)
            unlock.atexit = False
        except BlockingIOError:
            self._give_up()
            return False
        there = self._described()
        if there is not None and there != self._description and not self._open:
            self._give_up()
            raise StoreError(
                f"cache {self.path} is in use with a bound of {there.get('max_bytes')} bytes, not of "
                f"{self._description['max_bytes']}; give the same bound, or choose another folder"
            )
        if there == self._description and not self._open:
            self._open[:] = [(acquire(self._location, write=True), self._location)]
        if there == self._description and self._is_current():
            return True
        self._give_up()
        return False

    def _is_current(self) -> bool:
        """True if the open file is the one in the folder: another process may have emptied it before it was shared."""
        try:
            status = self._location.data.lstat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._open[0][0].key

    def _give_up(self) -> None:
        self._unlock()
        for environment, _ in self._open:
            release(environment)
        self._open.clear()

    def _described(self) -> dict[str, object] | None:
        """What the folder says about itself; None if it is new. Raises: StoreError if it is no cache of this version."""
        file = self.path / _CACHE_FILE
        try:
            found: object = json.loads(read_regular(file))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot read {file}: {error}; choose another folder, or delete this one") from error
        same = ("format", "format_version")
        if not isinstance(found, dict) or any(found.get(name) != self._description[name] for name in same):
            expected = ", version ".join(str(self._description[name]) for name in same)
            raise StoreError(f"{file} does not say {expected!r}; choose another folder, or delete this one")
        return found

    def _describe(self) -> None:
        replace_file(self.path / _CACHE_FILE, json.dumps(self._description, sort_keys=True).encode())
