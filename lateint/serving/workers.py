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
_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds; each short life in a row doubles the pause
_POLL = 0.05  # seconds between two looks while a child is due
_FAILURES = 5  # short lives in a row that ended by an error, after which the service gives up
_SIGNAL_AT_END_OF_PARENT = 1  # PR_SET_PDEATHSIG of Linux


class Workers:
    """Children that run one function. Use it from the main thread, before any other thread is started."""

    def __init__(self, work: Callable[[], int], after: Callable[[int], object], at_stop: Callable[[], object]) -> None:
        """Args: `work`, what each child runs.

        Called in the parent: `after`, with the id of each child that has ended; `at_stop`, when the first signal comes.
        """
        self._work, self._after, self._at_stop, self._parent = work, after, at_stop, os.getpid()
        self._started: dict[int, float] = {}
        self._due: list[float] = []  # when to start another child, one entry for each that has ended
        self._signal: int | None = None
        self._code = 0
        self._short_lives = self._failures = 0  # in a row

    def run(self, count: int) -> int:
        """Keep `count` children until a signal comes, then let them finish.

        Returns: 0, or 130 after an interruption; 3 if this model cannot serve this store; 1 if children fail as soon as they
        start, five times in a row.
        """
        held = {sig: signal.signal(sig, self._stop) for sig in _SIGNALS}
        try:
            for _ in range(count):
                self._start()
            while self._started or self._due:
                self._reap()
                self._start_due()
        finally:
            for sig, handler in held.items():
                signal.signal(sig, handler)
        return self._code or (130 if self._signal == signal.SIGINT else 0)

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
        """Wait for a child to end, or a moment only while another is due; plan another unless the service stops."""
        try:
            pid, status = os.waitpid(-1, os.WNOHANG if self._due else 0)
        except ChildProcessError:
            self._started.clear()
            pid = status = 0
        if not pid:
            time.sleep(_POLL)
        born = self._started.pop(pid, None)
        if born is None:
            return
        self._after(pid)
        if self._signal is not None:
            return
        code = os.waitstatus_to_exitcode(status)
        if code == StoreMismatch.exit_code:
            self._give_up(code)
            return
        pause = self._pause(time.monotonic() - born, failed=code > 0)
        if self._failures >= _FAILURES:
            log.error("worker %s ended with %s, as the %s before it; the service stops", pid, code, _FAILURES - 1)
            self._give_up(1)
            return
        log.error("worker %s ended with %s; another one starts", pid, code)
        self._due.append(time.monotonic() + pause)

    def _start_due(self) -> None:
        """Start the children whose pause is over; none once the service stops."""
        now = time.monotonic()
        due, self._due = self._due, [moment for moment in self._due if moment > now and self._signal is None]
        for _ in range(len(due) - len(self._due)):
            self._start()

    def _pause(self, lived: float, *, failed: bool) -> float:
        """Count short lives in a row; return the seconds to wait before the next one. A killed worker has not failed."""
        short = lived < _SHORT_LIFE
        self._short_lives = self._short_lives + 1 if short else 0
        self._failures = self._failures + 1 if short and failed else 0
        return min(_LONGEST_PAUSE, _PAUSE * 2 ** (self._short_lives - 1)) if short else 0.0

    def _give_up(self, code: int) -> None:
        """End with this exit code."""
        self._code = code
        self._stop(signal.SIGTERM, None)

    def _stop(self, sig: int, frame: FrameType | None) -> None:
        """Tell all children to finish."""
        self._signal = self._signal or sig
        self._at_stop()
        for pid in list(self._started):
            with suppress(ProcessLookupError):  # it has ended just now
                os.kill(pid, signal.SIGTERM)
