"""LMDB environments: each file is open once per process, reference-counted, and never used across a fork.

LMDB forbids opening the same file twice in a process, and using an environment that was opened before a fork. So
environments are shared through a registry, and a child closes the environments that it inherited.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import lmdb

from lateint_store.disk import lmdb_pages as pages
from lateint_store.disk.activity import active, exclusive, in_forked_child, inside_transaction, never_free, quiesced
from lateint_store.disk.files import FORBIDDEN, FULL, check_regular, disk_errors, not_regular, open_regular
from lateint_store.disk.location import LOCK, MAX_READERS, Location, SameProcessId, lmdb_errors, open_error, out_of_memory
from lateint_store.disk.locking import no_writer
from lateint_store.errors import StoreError, StoreFull

LOCK_BYTES = 64 * MAX_READERS + 4096  # a cache line per reader, and LMDB's header
DATABASES: dict[str, dict[str, Any]] = {
    "blocks": {},
    "ids": {"dupsort": True, "dupfixed": True},
    "deleted": {"dupsort": True, "dupfixed": True},
    "state": {},
}
_ROOM = 1 << 30  # bytes that a file may grow before its readers map it anew

_registry: dict[tuple[int, int], Environment] = {}
_forgotten: list[list[tuple[Environment, Location]]] = []  # of stores that were never closed
_checked_by_parent: dict[tuple[int, int], int] = {}  # by file, the last transaction whose index was sound before a fork


@dataclass(slots=True, eq=False)
class Environment:
    """One open LMDB file and its databases. `references`: its users. `index_checked`: last transaction with a sound index.

    `locked`: True if LMDB's reader table protects its reads; otherwise they keep writers away.
    """

    env: Any
    key: tuple[int, int]
    location: Location
    writable: bool
    databases: dict[str, Any]
    locked: bool = True
    references: int = 1
    index_checked: int = -1


def forget(shards: list[tuple[Environment, Location]]) -> None:
    """Release environments soon. A garbage collector may call it at any moment, also while this thread is in `acquire`."""
    _forgotten.append(shards)


@contextmanager
def reading(environments: Sequence[tuple[Environment, Location]]) -> Iterator[list[Any]]:
    """Open a read transaction on each environment, all of them before the first read."""
    transactions: list[Any] = []
    with ExitStack() as stack:
        while grown := _begin_all(stack, environments, transactions):
            stack.close()
            transactions.clear()
            _map_again(grown)
        yield transactions


def _begin_all(
    stack: ExitStack, environments: Sequence[tuple[Environment, Location]], transactions: list[Any]
) -> Environment | None:
    """Begin a transaction on each environment; return the first one whose map is too small, or None."""
    stack.enter_context(active())
    for environment, location in environments:
        with lmdb_errors(location):
            if not environment.locked:
                stack.enter_context(_alone(location))
            try:
                transactions.append(stack.enter_context(begin(environment)))
            except lmdb.MapResizedError:  # another process has written more than this one maps
                return environment
    return None


@contextmanager
def _alone(location: Location) -> Iterator[None]:
    """Keep writers away while a file is read without LMDB's locks. Raises: SameProcessId if there is one."""
    with ExitStack() as stack:
        try:
            stack.enter_context(no_writer(location.store))
        except BlockingIOError as error:
            raise SameProcessId(location) from error
        yield


def _map_again(environment: Environment) -> None:
    """Map a file that has grown."""
    if inside_transaction():
        raise StoreError(f"store {environment.location.store} grew inside a view of the same thread; leave it and read again")
    location = environment.location
    with quiesced(), lmdb_errors(location):
        if not environment.writable:
            environment.env.set_mapsize(_reader_map(location))
        elif location.size > environment.env.info()["map_size"]:  # another writer maps more: mapping again would not end
            raise StoreError(f"{location.data} grew beyond the map of this process; raise its limit (ulimit -v)")


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
            never_free(transaction)
        raise
    if os.getpid() != pid:
        never_free(transaction)
        raise StoreError(f"this process was forked inside a transaction on {environment.location.store}; read it again")
    transaction.commit()


def create_environment(location: Location) -> Environment:
    """Create the folder, its LMDB file and its databases, open for writing. Raises: StoreFull, StoreError."""
    with exclusive(), disk_errors(location.folder, "create"):
        location.folder.mkdir()
        return _register(location, *_open(location, write=True, create=True), write=True)


def acquire(location: Location, *, write: bool = False, checked: bool = False) -> Environment:
    """Open a shard's file, or share the environment if it is open already. Checks the file before LMDB maps it.

    `checked`: True if the parent of this process has checked the file, and only LMDB has written it since.
    Raises: DamagedStore; StoreError if the folder cannot be written and the shard is not sealed.
    """
    with exclusive():
        while _forgotten:
            for environment, _ in _forgotten.pop():
                release(environment)
        try:
            if not stat.S_ISDIR(location.folder.lstat().st_mode):
                raise not_regular(location.folder)
            check_regular(location.data)
            status = location.data.lstat()
        except FileNotFoundError as error:
            raise location.damaged(f"{location.data} is missing") from error
        except OSError as error:
            raise StoreError(f"cannot read {location.data}: {error.strerror}") from error
        held = _registry.get((status.st_dev, status.st_ino))
        if held is None:
            if not checked:
                _check_file(location)
            return _open_first(location, write)
        if write and not held.writable:
            _make_writable(held)
        held.references += 1
        return held


def retain(environment: Environment) -> None:
    """Add a user."""
    with exclusive():
        environment.references += 1


def release(environment: Environment) -> None:
    """Remove a user; the last one closes the environment. Ignores a handle inherited through a fork."""
    with exclusive():
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


def _open_first(location: Location, write: bool) -> Environment:
    """Open a file that this process does not have open. A reader goes without LMDB's locks if they cannot tell it apart."""
    try:
        return _register(location, *_open(location, write=write), write=write)
    except SameProcessId:
        if write:
            raise
    with _alone(location):
        environment = _register(location, *_open(location, write=False, lock=False), write=False)
    environment.locked = False
    return environment


def _open(location: Location, *, write: bool, create: bool = False, lock: bool = True) -> tuple[Any, dict[str, Any]]:
    """Open an LMDB environment and its databases. The caller holds the lock, so no fork happens meanwhile."""
    lock = lock and location.sealed is None
    if lock:
        _reserve_lock(location)
    env = _mapped(location, write, create, lock)
    try:
        with lmdb_errors(location, writing=write):
            if lock:
                env.reader_check()
            names = {name: name.encode() for name in DATABASES}
            return env, {name: env.open_db(names[name], create=create, **DATABASES[name]) for name in names}
    except BaseException:
        env.close()
        raise


def _mapped(location: Location, write: bool, create: bool, lock: bool) -> Any:
    """Map a file: a reader what there is and some room, a writer the whole map; both less if address space is limited."""
    sizes = [location.map_size >> shift for shift in (0, 3, 6)] if write else [_reader_map(location), location.size]
    for size in sizes:
        try:
            # No spare transactions: a child that closed an inherited environment would free the parent's reader slots.
            return lmdb.open(
                str(location.folder), map_size=size, readonly=not write, create=create, readahead=False,
                lock=lock, max_dbs=len(DATABASES), max_readers=MAX_READERS, max_spare_txns=0,
            )  # fmt: skip
        except lmdb.Error as error:
            if size == sizes[-1] or not out_of_memory(error):
                raise open_error(location, error) from error
    raise AssertionError("there is at least one size")


def _reader_map(location: Location) -> int:
    """Bytes for a reader to map. LMDB's own default is the writer's map, mostly empty: 64 GiB to read 200 kB."""
    if location.sealed is not None:
        return location.sealed[0]
    size = location.size
    return size + min(max(size, _ROOM), location.map_size)


def _reserve_lock(location: Location) -> None:
    """Allocate LMDB's lock file on disk. LMDB maps it sparse, so on a full disk its first write would raise SIGBUS.

    Call it only while this process does not have the file open, because closing the file drops the locks of the process.
    """
    path = location.folder / LOCK
    try:
        with suppress(FileNotFoundError):
            check_regular(path)
            if path.lstat().st_blocks * 512 >= LOCK_BYTES:
                return
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
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
    environment.index_checked = _checked_by_parent.pop(environment.key, -1)
    _registry[environment.key] = environment
    return environment


def _make_writable(environment: Environment) -> None:
    """Reopen an environment for writing once no transaction is open; its other users are not affected."""
    if inside_transaction():
        raise StoreError(f"open store {environment.location.store} for writing outside of a read of it")
    with quiesced():
        environment.env.close()
        try:
            environment.env, environment.databases = _open(environment.location, write=True)
            environment.writable = environment.locked = True
        except BaseException:
            environment.env, environment.databases = _open(environment.location, write=False, lock=environment.locked)
            raise


def _drop_inherited() -> None:
    """Close the inherited environments in a forked child, unless its thread is inside a transaction of the parent.

    Closing one frees the reader slots of its transactions, which are the parent's.
    """
    for environment in _registry.values():
        if inside_transaction():
            never_free(environment.env)
        else:
            environment.env.close()
    _checked_by_parent.update({key: environment.index_checked for key, environment in _registry.items()})
    _registry.clear()


in_forked_child(_drop_inherited)
