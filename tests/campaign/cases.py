"""Numbered cases that run in forks of this process: a signal ends one case, is counted, and the others go on.

A section of the campaign is a module with a function `run(draws, n)`. Its cases depend on the seed and their number alone,
so each can be repeated.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lateint_store.errors import LateintError

Case = Callable[[int, np.random.Generator], str | None]
"""Runs one case: returns what happened ("right" if None), or raises Wrong, Lost, a typed error or any other exception."""

LIMIT_S = 60
SHOWN = 10
BAD = ("wrong", "lost", "untyped", "signal")


class Wrong(Exception):
    """An answer that is not the right one, and no error."""


class Lost(Exception):
    """Something that was acknowledged is gone."""


class Stuck(BaseException):
    """No answer within the limit."""


class Untyped(Exception):
    """An error of a call that is not one of lateint's; the message says which call."""


@dataclass(frozen=True, slots=True)
class Draws:
    """The seed of a run. `only`: number of the single case to run."""

    seed: int
    only: int | None = None

    def numbers(self, n: int) -> list[int]:
        """Numbers of the cases to run."""
        return list(range(n)) if self.only is None else [self.only]

    def rng(self, number: int) -> np.random.Generator:
        """The random generator of a case."""
        return np.random.default_rng([self.seed, number])


@dataclass(slots=True)
class Figures:
    """What the cases of a section ended in. `outcomes`: counts by name, such as "right" or the name of a typed error."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """Number of cases."""
        return sum(self.outcomes.values())

    def note(self, number: int, outcome: str, detail: str) -> None:
        """Count the outcome of a case."""
        self.outcomes[outcome] += 1
        if outcome in BAD:
            self.failures.append({"case": number, "outcome": outcome, "detail": detail})

    def to_json(self) -> dict[str, Any]:
        """Counts, the first failures, and whether there are none."""
        good = {name: count for name, count in sorted(self.outcomes.items()) if name not in BAD}
        bad = {name if name != "signal" else "signals": self.outcomes[name] for name in BAD}
        return {"cases": self.cases, **bad, "outcomes": good, "failures": self.failures[:SHOWN], "ok": not self.failures}


def run_cases(draws: Draws, n: int, start: Callable[[], Case], *, limit_s: int = LIMIT_S) -> Figures:
    """Run n cases in a fork. `start` prepares a fork and returns its case; it is called again after a signal.

    A case that takes longer than `limit_s` ends by a signal too.
    """
    figures, waiting = Figures(), draws.numbers(n)
    while waiting:
        done = 0
        for number, outcome, detail in _in_fork(draws, waiting, start, limit_s):
            figures.note(number, outcome, detail)
            done += 1
        waiting = waiting[done:]
    return figures


def _in_fork(draws: Draws, numbers: list[int], start: Callable[[], Case], limit_s: int) -> Iterator[tuple[int, str, str]]:
    """Yield number, outcome and detail of each case up to the one that a signal ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(draws, numbers, start, limit_s, writing)
    os.close(writing)
    done = 0
    with os.fdopen(reading, encoding="utf-8") as answers:
        for line in answers:
            yield tuple(json.loads(line))
            done += 1
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if done < len(numbers):
        if code == 9 and not done:
            raise RuntimeError("a section could not prepare its cases; see standard error")
        yield numbers[done], "signal", signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _work(draws: Draws, numbers: list[int], start: Callable[[], Case], limit_s: int, writing: int) -> None:
    """Run cases and write one line each; never returns."""
    code = 9
    try:
        faulthandler.disable()  # a case that a signal ends is counted, not traced
        errors = os.dup(2)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        try:
            case = start()
        except BaseException:
            os.dup2(errors, 2)
            raise
        with os.fdopen(writing, "w", encoding="utf-8") as answers:
            for number in numbers:
                signal.signal(signal.SIGALRM, _stop)
                signal.alarm(limit_s)
                answer = [number, *judged(case, number, draws.rng(number))]
                signal.alarm(0)
                answers.write(json.dumps(answer) + "\n")
                answers.flush()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _stop(*signal_and_frame: object) -> None:
    """End a case that takes too long; if it does not end within 10 more seconds, its process ends."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(10)
    raise Stuck


def judged(case: Case, number: int, rng: np.random.Generator) -> tuple[str, str]:
    """Run a case. Returns: its outcome and a description of a bad one."""
    try:
        return case(number, rng) or "right", ""
    except Wrong as error:
        return "wrong", str(error)[:600]
    except Lost as error:
        return "lost", str(error)[:600]
    except Untyped as error:
        return "untyped", str(error)[:600]
    except LateintError as error:
        return type(error).__name__, ""
    except BaseException as error:  # a panic of a library is no Exception
        frames = traceback.extract_tb(error.__traceback__)[-4:]
        places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
        return "signal" if isinstance(error, Stuck) else "untyped", f"{error!r} at {places}"[:600]
