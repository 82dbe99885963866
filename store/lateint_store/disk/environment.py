"""LMDB environments: each file is open once per process, reference-counted, and never used across a fork.

LMDB forbids opening the same file twice in a process, and using an environment that was opened before a fork. So
environments are shared through a registry. A fork waits until no other thread has a transaction open; then the child
closes the environments that it inherited. If the forking thread itself is inside a transaction (a signal handler that
forks), the transaction stays the parent's, and the child gives up both it and the environments.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

from lateint_store.disk import lmdb_pages as pages
from lateint_store.disk.files import FORBIDDEN, FULL, disk_errors
from lateint_store.errors import DamagedStore, StoreError, StoreFull

DATA, LOCK = "data.mdb", "lock.mdb"
MAX_READERS = 2048
LOCK_BYTES = 64 * MAX_READERS + 4096  # a cache line per reader, and LMDB's header
DATABASES: dict[str, dict[str, Any]] = {
    "blocks": {},
    "ids": {"dupsort": True, "dupfixed": True},
    "deleted": {"dupsort": True, "dupfixed": True},
    "state": {},
}
EIO = 5

_idle = threading.Condition(threading.RLock())
_active = 0
_waiting = 0
_depth = threading.local()
_registry: dict[tuple[int, int], Environment] = {}
_forgotten: list[list[tuple[Environment, Location]]] = []  # of stores that were never closed


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

    def damaged(self, reason: str, ordinal: int | None = None, doc_id: str | None = None) -> DamagedStore:
        """A DamagedStore error that names this shard."""
        return DamagedStore(str(self.store), reason, shard=self.shard, ordinal=ordinal, doc_id=doc_id)


@dataclass(slots=True, eq=False)
class Environment:
    """One open LMDB file and its databases. `references`: its users. `index_checked`: last transaction with a sound index."""

    env: Any
    key: tuple[int, int]
    location: Location
    writable: bool
    databases: dict[str, Any]
    references: int = 1
    index_checked: int = -1


@contextmanager
def exclusive() -> Iterator[None]:
    """Hold the registry's lock: one thread at a time opens or closes files, and no other thread forks meanwhile."""
    with _idle:
        yield


def forget(shards: list[tuple[Environment, Location]]) -> None:
    """Release environments soon. A garbage collector may call it at any moment, also while this thread is in `acquire`."""
    _forgotten.append(shards)


def inside_transaction() -> bool:
    """True if this thread has a transaction open."""
    return bool(getattr(_depth, "value", 0))


@contextmanager
def active() -> Iterator[None]:
    """Delay forks and reopening while a transaction is open. Every transaction of this package runs inside."""
    global _active
    depth = getattr(_depth, "value", 0)
    with _idle:
        while _waiting and not depth:
            _idle.wait()
        _active += 1
    _depth.value = depth + 1
    try:
        yield
    finally:
        _depth.value = depth
        with _idle:
            _active -= 1
            if _waiting:
                _idle.notify_all()


@contextmanager
def begin(environment: Environment, *, write: bool = False) -> Iterator[Any]:
    """A transaction, inside `active`. One that writes is committed at the end of the block, or undone by an exception.

    Raises: StoreError in a child that was forked inside the block; what it read after the fork may be torn.
    """
    pid = os.getpid()
    if write:
        environment.env.reader_check()  # a killed reader would pin the pages that were freed since
    transaction = environment.env.begin(write=write, buffers=True)
    try:
        yield transaction
    except BaseException:
        if os.getpid() == pid:
            transaction.abort()
        else:
            _never_free(transaction)
        raise
    if os.getpid() != pid:
        _never_free(transaction)
        raise StoreError(f"this process was forked inside a transaction on {environment.location.store}; read it again")
    transaction.commit()


def _never_free(inherited: object) -> None:
    """Keep what a child inherited from being freed: that would end the parent's transaction in memory that both share."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


@contextmanager
def lmdb_errors(location: Location, *, writing: bool = False) -> Iterator[None]:
    """Convert LMDB's exceptions into the errors of this package."""
    try:
        yield
    except lmdb.MapFullError as error:
        raise StoreFull(f"the map of {location.folder} is full ({location.map_size} bytes): {error}") from error
    except lmdb.ReadersFullError as error:
        raise StoreError(f"{location.folder}: all {MAX_READERS} reader slots are in use: {error}") from error
    except lmdb.Error as error:
        code = getattr(error, "code", 0)
        if writing and (code in FULL or code == EIO):
            raise StoreFull(
                f"cannot write {location.data}: {error}; free some space and run it again; what was committed is intact"
            ) from error
        if "closed" in str(error).lower():
            raise StoreError(f"store {location.store} is closed") from error
        raise location.damaged(f"LMDB says {error}") from error


def create_environment(location: Location) -> Environment:
    """Create the folder, its LMDB file and its databases, open for writing. Raises: StoreFull, StoreError."""
    with _idle, disk_errors(location.folder, "create"):
        location.folder.mkdir()
        return _register(location, *_open(location, write=True, create=True), write=True)


def acquire(location: Location, *, write: bool = False) -> Environment:
    """Open a shard's file, or share the environment if it is open already. Checks the file before LMDB maps it.

    Raises: DamagedStore; StoreError if the folder cannot be written and the shard is not sealed.
    """
    with _idle:
        while _forgotten:
            for environment, _ in _forgotten.pop():
                release(environment)
        try:
            status = location.data.stat()
        except FileNotFoundError as error:
            raise location.damaged(f"{location.data} is missing") from error
        except OSError as error:
            raise StoreError(f"cannot read {location.data}: {error.strerror}") from error
        held = _registry.get((status.st_dev, status.st_ino))
        if held is None:
            _check_file(location)
            return _register(location, *_open(location, write=write), write=write)
        if write and not held.writable:
            _make_writable(held)
        held.references += 1
        return held


def retain(environment: Environment) -> None:
    """Add a user."""
    with _idle:
        environment.references += 1


def release(environment: Environment) -> None:
    """Remove a user; the last one closes the environment. Ignores a handle inherited through a fork."""
    with _idle:
        if _registry.get(environment.key) is not environment:
            return
        environment.references -= 1
        if environment.references == 0:
            del _registry[environment.key]
            environment.env.close()


def _check_file(location: Location) -> None:
    """Check an LMDB file without mapping it: against its seal, or its own structure. Raises: DamagedStore, StoreError."""
    try:
        if location.sealed is None:
            pages.check_unsealed(location.data)
            return
        size, digest = location.sealed
        found = location.data.stat().st_size
        if found != size:
            raise location.damaged(f"{location.data} has {found} bytes, {size} were sealed")
        if pages.structure_digest(location.data) != digest:
            raise location.damaged(f"the pages of {location.data} have changed since it was sealed")
    except pages.PageError as error:
        raise location.damaged(f"{location.data}: {error}") from error
    except OSError as error:
        raise StoreError(f"cannot read {location.data}: {error}") from error


def _open(location: Location, *, write: bool, create: bool = False) -> tuple[Any, dict[str, Any]]:
    """Open an LMDB environment and its databases. The caller holds the lock, so no fork happens meanwhile."""
    # No spare transactions: a child that closed an inherited environment would free the parent's reader slots.
    size = location.map_size if location.sealed is None else location.sealed[0]
    if location.sealed is None:
        _reserve_lock(location)
    try:
        env = lmdb.open(
            str(location.folder), map_size=size, readonly=not write, create=create, readahead=False,
            lock=location.sealed is None, max_dbs=len(DATABASES), max_readers=MAX_READERS, max_spare_txns=0,
        )  # fmt: skip
    except lmdb.Error as error:
        raise _open_error(location, error) from error
    try:
        with lmdb_errors(location, writing=write):
            if location.sealed is None:
                env.reader_check()
            names = {name: name.encode() for name in DATABASES}
            return env, {name: env.open_db(names[name], create=create, **DATABASES[name]) for name in names}
    except BaseException:
        env.close()
        raise


def _reserve_lock(location: Location) -> None:
    """Allocate LMDB's lock file on disk. LMDB maps it sparse, so on a full disk its first write would raise SIGBUS.

    Call it only while this process does not have the file open, because closing the file drops the locks of the process.
    """
    path = location.folder / LOCK
    try:
        if path.exists() and path.stat().st_blocks * 512 >= LOCK_BYTES:
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(descriptor, 0, LOCK_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in FULL:
            raise StoreFull(f"no space for {path}: {error.strerror}; free some space and run it again") from error
        if error.errno not in FORBIDDEN:
            raise StoreError(f"cannot create {path}: {error.strerror}") from error


def _register(location: Location, env: Any, databases: dict[str, Any], *, write: bool) -> Environment:
    status = location.data.stat()
    environment = Environment(env, (status.st_dev, status.st_ino), location, write, databases)
    _registry[environment.key] = environment
    return environment


def _make_writable(environment: Environment) -> None:
    """Reopen an environment for writing once no transaction is open; its other users are not affected."""
    if inside_transaction():
        raise StoreError(f"open store {environment.location.store} for writing outside of a read of it")
    _quiesce()
    try:
        environment.env.close()
        try:
            environment.env, environment.databases = _open(environment.location, write=True)
            environment.writable = True
        except BaseException:
            environment.env, environment.databases = _open(environment.location, write=False)
            raise
    finally:
        _resume()


def _open_error(location: Location, error: lmdb.Error) -> StoreError:
    code = getattr(error, "code", 0)
    if isinstance(error, lmdb.MemoryError) or code == 12:
        return StoreError(
            f"cannot map {location.map_size} bytes of address space for {location.data}: {error}; "
            "raise the limit (ulimit -v) or build with a smaller map_size"
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


def _quiesce() -> None:
    """Take the lock, wait until no other thread has a transaction open, and block new ones until `_resume`."""
    global _waiting
    _idle.acquire()
    _waiting += 1
    while _active > getattr(_depth, "value", 0):
        _idle.wait()


def _resume() -> None:
    global _waiting
    _waiting -= 1
    _idle.notify_all()
    _idle.release()


def _after_fork_in_child() -> None:
    """Close the inherited environments, unless this thread is inside a transaction of the parent.

    Closing one frees the reader slots of its transactions, which are the parent's.
    """
    global _idle, _active, _waiting
    _idle, _active, _waiting = threading.Condition(threading.RLock()), getattr(_depth, "value", 0), 0
    for environment in _registry.values():
        if _active:
            _never_free(environment.env)
        else:
            environment.env.close()
    _registry.clear()


os.register_at_fork(before=_quiesce, after_in_parent=_resume, after_in_child=_after_fork_in_child)
