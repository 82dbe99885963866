"""One writer per store: a lock on a file of its own, because closing LMDB's lock file would drop LMDB's locks."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lateint_store.disk.files import disk_errors, open_regular
from lateint_store.errors import StoreLocked, StoreMismatch

LOCK_FILE = "writer.lock"
_ATTEMPTS = 5

_held: set[int] = set()


class WriterLock:
    """Holds the lock from construction to `release`, or until nothing refers to it; it ends with the process.

    Raises: StoreLocked naming the holder; StoreError if the folder cannot be written.
    """

    _descriptor = -1  # none is held

    def __init__(self, store: Path) -> None:
        self.store, self.pid = store, os.getpid()
        for _ in range(_ATTEMPTS):
            if self._acquire():
                break
        else:
            raise StoreLocked(f"{self.store / LOCK_FILE} is replaced again and again; wait until {store} is complete")
        # Best effort: on a full disk the holder stays unnamed, but the lock holds.
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"process {self.pid} on {socket.gethostname()}\n".encode(), 0)
        except OSError:
            pass

    def _acquire(self) -> bool:
        """Lock the file. False if it was removed between opening and locking: then the lock guards nothing."""
        path = self.store / LOCK_FILE
        with disk_errors(self.store, "write in"):
            descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            advice = _advice(descriptor)
            os.close(descriptor)
            raise StoreLocked(f"store {self.store} is being written by {holder} (lock {path}){advice}") from error
        except BaseException:
            os.close(descriptor)
            raise
        status = os.fstat(descriptor)
        self._descriptor, self._file = descriptor, (status.st_dev, status.st_ino)
        _held.add(descriptor)
        if self._guards():
            return True
        self.release()
        return False

    def _guards(self) -> bool:
        """True if the lock file in the folder is the one that is locked."""
        try:
            found = (self.store / LOCK_FILE).lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._file

    def folder(self) -> Path:
        """The folder that this lock guards, for everything that writes in it by name.

        Raises: StoreMismatch if the folder was removed, moved or replaced: what is there now belongs to another writer.
        """
        if not self._guards():
            raise StoreMismatch(
                f"store {self.store} was removed, moved or replaced while it was open for writing: {LOCK_FILE} there is "
                "not the file that this process locked; nothing more is written. Open the store again"
            )
        return self.store

    def release(self) -> None:
        """Release the lock. Safe to call again, and in a forked child, where the parent keeps the lock."""
        if self._descriptor in _held and self.pid == os.getpid():
            descriptor, self._descriptor = self._descriptor, -1  # the next lock may get the same number
            _held.discard(descriptor)
            os.close(descriptor)

    def __del__(self, interpreter_ends: Callable[[], bool] = sys.is_finalizing) -> None:
        """Give the lock back if the store that held it was never closed."""
        if not interpreter_ends():  # then the names of this module may be gone, and the system gives the lock back
            self.release()


@contextmanager
def no_writer(store: Path) -> Iterator[None]:
    """Keep writers away for the length of the block. Raises: BlockingIOError if there is one; StoreError."""
    descriptor = share_lock(store)
    try:
        yield
    finally:
        os.close(descriptor)


def share_lock(store: Path) -> int:
    """Lock the file of `WriterLock` together with others that share it, until the descriptor is closed, in children too.

    Raises: BlockingIOError if a writer holds it; StoreError.
    """
    with disk_errors(store, "lock"):
        descriptor = open_regular(store / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file for the length of the block; wait while another process or thread holds it. Raises: StoreError.

    The block may remove the file: whoever waits then locks the new one.
    """
    while True:
        with disk_errors(path, "lock"):
            descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if path.exists() and os.path.samestat(os.fstat(descriptor), path.lstat()):
                    break
            except FileNotFoundError:
                pass  # removed between the two looks
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
    try:
        yield
    finally:
        os.close(descriptor)


def _advice(descriptor: int) -> str:
    """Say what to do about a locked file. In a notebook its holder is often the same cell, run before."""
    wanted = os.fstat(descriptor)
    if any(os.path.samestat(os.fstat(held), wanted) for held in set(_held)):
        return ", which is this process: go on with the store that is open here, or call its close() first"
    return "; wait until it has finished"


def _close_inherited() -> None:
    """Close the inherited descriptors in a forked child, which would otherwise hold the lock after the parent's end."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_inherited)
