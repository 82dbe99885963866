"""Serve with several processes, forked from one that has loaded model and store, so that they share its memory."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from lateint.errors import StoreMismatch
from lateint.serving.failures import log

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SHORT_LIFE = 5.0  # seconds: a worker that ends sooner is started again after a pause
_PAUSE = 1.0
_SIGNAL_AT_END_OF_PARENT = 1  # PR_SET_PDEATHSIG of Linux


class Workers:
    """Children that run one function. Use it from the main thread, before any other thread is started."""

    def __init__(self, work: Callable[[], int], after: Callable[[int], object], at_stop: Callable[[], object]) -> None:
        """Args: `work`, what each child runs.

        Called in the parent: `after`, with the id of each child that has ended; `at_stop`, when the first signal comes.
        """
        self._work, self._after, self._at_stop, self._parent = work, after, at_stop, os.getpid()
        self._started: dict[int, float] = {}
        self._signal: int | None = None
        self._refused = 0

    def run(self, count: int) -> int:
        """Keep `count` children until a signal comes, then let them finish.

        Returns: 0, or 130 after an interruption, or the exit code of a child that cannot serve this model and store.
        """
        held = {sig: signal.signal(sig, self._stop) for sig in _SIGNALS}
        try:
            for _ in range(count):
                self._start()
            while self._started:
                self._reap()
        finally:
            for sig, handler in held.items():
                signal.signal(sig, handler)
        return self._refused or (130 if self._signal == signal.SIGINT else 0)

    def _start(self) -> None:
        """Fork a child. Signals wait meanwhile, so that none reaches a child with the handlers of its parent."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = 0 if self._signal is not None else os.fork()
            if pid:
                self._started[pid] = time.monotonic()
            elif self._signal is None:
                for sig in _SIGNALS:
                    signal.signal(sig, signal.SIG_DFL)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if not pid and self._signal is None:
            self._run_child()

    def _run_child(self) -> None:
        """Do the work, and end the process; if the parent is killed, finish too, as nobody would stop this process then."""
        code = 1
        try:
            ctypes.CDLL(None).prctl(_SIGNAL_AT_END_OF_PARENT, signal.SIGTERM)
            if os.getppid() == self._parent:  # otherwise it was killed before the call
                code = self._work()
        except StoreMismatch as error:
            log.error("%s", error)
            code = error.exit_code
        except BaseException as error:
            log.error("a worker failed: %s", error, exc_info=error)
        finally:
            os._exit(code)

    def _reap(self) -> None:
        """Wait for a child to end, and start another unless the service stops."""
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            self._started.clear()
            return
        born = self._started.pop(pid, None)
        if born is None:
            return
        self._after(pid)
        if self._signal is not None:
            return
        if os.waitstatus_to_exitcode(status) == StoreMismatch.exit_code:
            self._refused = StoreMismatch.exit_code
            self._stop(signal.SIGTERM, None)
            return
        log.error("worker %s ended with %s; another one starts", pid, os.waitstatus_to_exitcode(status))
        if time.monotonic() - born < _SHORT_LIFE:
            time.sleep(_PAUSE)
        self._start()

    def _stop(self, sig: int, frame: FrameType | None) -> None:
        """Tell all children to finish."""
        self._signal = self._signal or sig
        self._at_stop()
        for pid in list(self._started):
            with suppress(ProcessLookupError):  # it has ended just now
                os.kill(pid, signal.SIGTERM)
