"""Count open transactions. A fork, and the closing or remapping of a file, wait until no other thread has one open.

If the forking thread itself is inside a transaction (a signal handler that forks), waiting would hang for ever. Then the
transaction stays the parent's, and the child ends neither it nor the environments that it inherited.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_idle = threading.Condition(threading.RLock())
_active = 0
_waiting = 0
_depth = threading.local()
_in_child: list[Callable[[], None]] = []


@contextmanager
def exclusive() -> Iterator[None]:
    """Hold the registry's lock: one thread at a time opens or closes files, and no other thread forks meanwhile."""
    with _idle:
        yield


@contextmanager
def active() -> Iterator[None]:
    """Delay forks and reopening while a transaction is open. Every transaction of this package runs inside."""
    global _active
    depth = _own_depth()
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
def quiesced() -> Iterator[None]:
    """Hold the lock of `exclusive` once no other thread has a transaction open; new ones wait until the end of the block."""
    _quiesce()
    try:
        yield
    finally:
        _resume()


def inside_transaction() -> bool:
    """True if this thread has a transaction open."""
    return _own_depth() > 0


def in_forked_child(action: Callable[[], None]) -> None:
    """Call `action` in every forked child, before anything else of this package runs there."""
    _in_child.append(action)


def never_free(inherited: object) -> None:
    """Keep what a child inherited from being freed: that would end the parent's transaction in memory that both share."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


def _own_depth() -> int:
    return getattr(_depth, "value", 0)


def _quiesce() -> None:
    global _waiting
    _idle.acquire()
    _waiting += 1
    while _active > _own_depth():
        _idle.wait()


def _resume() -> None:
    global _waiting
    _waiting -= 1
    _idle.notify_all()
    _idle.release()


def _after_fork_in_child() -> None:
    global _idle, _active, _waiting
    _idle, _active, _waiting = threading.Condition(threading.RLock()), _own_depth(), 0
    for action in _in_child:
        action()


os.register_at_fork(before=_quiesce, after_in_parent=_resume, after_in_child=_after_fork_in_child)
