"""One writer per store: a lock on a file of its own, because closing LMDB's lock file would drop LMDB's locks."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from lateint_store.disk.files import disk_errors
from lateint_store.errors import StoreLocked

LOCK_FILE = "writer.lock"

_held: set[int] = set()


class WriterLock:
    """Holds the lock from construction to `release`; the operating system drops it when the process dies.

    Raises: StoreLocked naming the holder; StoreError if the folder cannot be written.
    """

    def __init__(self, store: Path) -> None:
        self.pid = os.getpid()
        with disk_errors(store, "write in"):
            self._descriptor = os.open(store / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(self._descriptor)
            raise StoreLocked(
                f"store {store} is being written by {holder} (lock {store / LOCK_FILE}){_advice(holder)}"
            ) from error
        _held.add(self._descriptor)
        # Best effort: on a full disk the holder stays unnamed, but the lock holds.
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{_this_process()}\n".encode(), 0)
        except OSError:
            pass

    def release(self) -> None:
        """Release the lock. Safe to call again, and in a forked child, where the parent keeps the lock."""
        if self._descriptor in _held and self.pid == os.getpid():
            _held.discard(self._descriptor)
            os.close(self._descriptor)


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _advice(holder: str) -> str:
    """Say what to do. In a notebook the holder is often the same cell, run before."""
    if holder == _this_process():
        return ", which is this process: go on with the store that is open here, or call its close() first"
    return "; wait until it has finished"


def _close_inherited() -> None:
    """Close the inherited descriptors in a forked child, which would otherwise hold the lock after the parent's end."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_inherited)
