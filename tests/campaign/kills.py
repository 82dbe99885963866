"""SIGKILL at random times and at named points of builds, resumed builds, deletions, compactions, seals and merges."""

from __future__ import annotations

import shutil
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from lateint_store import open_store
from lateint_store.disk.killpoints import POINTS
from lateint_store.errors import StoreNotFound
from tests.campaign import builder
from tests.campaign.pool import WORKERS, death
from tests.campaign.stores import scratch
from tests.support import processes

KILLS = 300
IN_A_ROW = 3
WINDOWS, SHARDS = builder.DOCUMENTS // builder.WINDOW, -(-builder.DOCUMENTS // builder.PER_SHARD)
PASSES = {  # how many times each verb passes each point
    "build": {
        "create.shard": SHARDS, "roll.created": SHARDS - 1, "manifest.before_rename": SHARDS,
        "manifest.after_rename": SHARDS, "append.before_put": WINDOWS, "append.after_put": WINDOWS,
        "append.before_commit": WINDOWS, "append.after_commit": WINDOWS,
    },
    "delete": {"delete.before_commit": 1, "delete.after_commit": 1},
    "compact": {
        "create.shard": SHARDS, "append.before_put": WINDOWS, "append.after_put": WINDOWS, "rewrite.window": WINDOWS,
        "rewrite.shard": SHARDS, "rewrite.done": 1, "manifest.before_rename": 1, "manifest.after_rename": 1,
        "publish.before_clean": 1, "publish.after_clean": 1,
    },
}  # fmt: skip
PASSES["seal"] = PASSES["compact"] | {"seal.verified": 1, "seal.read_only": 1}
PASSES["merge"] = {name: n for name, n in PASSES["compact"].items() if not name.startswith("publish.")} | {"derived.done": 1}
COMBINATIONS = [(verb, name) for verb, points in PASSES.items() for name in points]


@dataclass
class Tally:
    """The results of all scenarios; shared by threads."""

    wanted: int
    kills: Counter[str] = field(default_factory=Counter)
    again: list[int] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    begun: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_scenario(self) -> int | None:
        """Number of the next scenario, or None after enough kills."""
        with self.lock:
            if sum(self.kills.values()) >= self.wanted:
                return None
            self.begun += 1
            return self.begun - 1


@dataclass(frozen=True, slots=True)
class Templates:
    """Undisturbed results that scenarios start from or are compared with."""

    folder: Path
    digest: str
    digest_after_delete: str
    seconds: dict[str, float]


def run(seed: int, scale: float, case: int | None) -> dict[str, Any]:
    """Run scenarios until `KILLS` * scale processes were killed, or only the scenario `case`."""
    with scratch() as folder:
        templates = make_templates(folder)
        tally = Tally(ceil(KILLS * scale))
        if case is not None:
            scenario(templates, tally, seed, case)
        else:
            with ThreadPoolExecutor(WORKERS) as threads:
                list(threads.map(partial(_keep_killing, templates, tally), [seed] * WORKERS))
    return {
        "kills": sum(tally.kills.values()),
        "by": dict(sorted(tally.kills.items())),
        "re-encoded median": statistics.median(tally.again or [0]),
        "max": max(tally.again, default=0),
        "scenarios": tally.begun,
        "failures": tally.failures,
        "ok": not tally.failures,
    }


def _keep_killing(templates: Templates, tally: Tally, seed: int) -> None:
    while (number := tally.next_scenario()) is not None:
        scenario(templates, tally, seed, number)


def make_templates(folder: Path) -> Templates:
    """Build, delete, seal, compact and merge without a kill, and measure the times."""
    seconds = {}

    def timed(verb: str, path: Path, *more: object) -> None:
        child = start(verb, path, *more)
        begun = time.perf_counter()
        if end(child, None) != 0:
            raise RuntimeError(f"{verb} fails without being killed")
        seconds[verb] = time.perf_counter() - begun

    timed("build", folder / "built")
    parts = [folder / "part0", folder / "part1"]
    for number, part in enumerate(parts):
        timed("build", part, f"{number}/2")
    timed("build", folder / "whole")
    timed("merge", folder / "merged", *parts)
    with open_store(folder / "whole") as store:
        digest = store.content_digest()
    timed("delete", folder / "whole")
    with open_store(folder / "whole") as store:
        after_delete = store.content_digest()
    for verb in ("compact", "seal"):
        timed(verb, folder / "whole")
    return Templates(folder, digest, after_delete, seconds)


def scenario(templates: Templates, tally: Tally, seed: int, number: int) -> None:
    """Run one command: kill it up to three times in a row, then let it finish."""
    rng = np.random.default_rng([seed, number])
    verb, point = _plan(seed, number, rng)
    folder = templates.folder / f"scenario{number}"
    folder.mkdir()
    path, more = folder / "store", ()
    if verb in ("delete", "compact", "seal"):
        shutil.copytree(templates.folder / "built", path)
        if verb != "delete":
            end(start("delete", path), None)
    elif verb == "merge":
        more = (templates.folder / "part0", templates.folder / "part1")
    expected = templates.digest if verb in ("build", "merge") else templates.digest_after_delete
    try:
        _kill_and_finish(Command(verb, path, more), point, rng, templates, tally)
        with open_store(path) as store:
            problem = "" if store.content_digest() == expected else "the content digest differs from the undisturbed one"
            report = store.verify()
            problem = problem or ("" if report.ok else f"verify: {report.problems[0]}")
    except Exception as error:
        problem = repr(error)
    if problem:
        with tally.lock:
            tally.failures.append({"case": number, "verb": verb, "point": point, "detail": problem})
    shutil.rmtree(folder)


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run, kill and run again."""

    verb: str
    path: Path
    more: tuple[Path, ...]


def _kill_and_finish(command: Command, point: str, rng: np.random.Generator, templates: Templates, tally: Tally) -> None:
    kills = 0
    while kills < IN_A_ROW:
        before = check_between(command)
        kill_at = f"{point}:{rng.integers(1, PASSES[command.verb][point] + 1)}" if point else ""
        child = start(command.verb, command.path, *command.more, kill_at=kill_at)
        code = end(child, None if point else rng.uniform(0, 1.1 * templates.seconds[command.verb]))
        if code not in (0, -9):
            raise RuntimeError(f"{command.verb} {kill_at} {death(code)}")
        if code == 0:
            if point and not kills:
                raise RuntimeError(f"{command.verb} never passed {kill_at}")
            break
        kills += 1
        after = check_between(command)
        with tally.lock:
            tally.kills[f"{command.verb} {'at a point' if point else 'any time'}"] += 1
            if command.verb == "build":
                tally.again.append(max(0, child.encoded - (after - before)))
        if rng.random() < 0.5:
            break
        point = "" if rng.random() < 0.5 else point if kills == 0 else _point(command.verb, rng)
    if (code := end(start(command.verb, command.path, *command.more), None)) != 0:
        raise RuntimeError(f"{command.verb} run again after {kills} kills {death(code)}")


def check_between(command: Command) -> int:
    """Verify the store and return the number of its documents; 0 if there is no store."""
    try:
        with open_store(command.path) as store:
            report, progress = store.verify(), store.progress
    except StoreNotFound:
        return 0
    if not report.ok:
        raise RuntimeError(f"after a kill verify says {report.problems[0]}")
    if command.verb == "build" and (report.documents, progress.source_digest) != (
        progress.source_position,
        builder.source_digest(progress.source_position) if progress.source_position else "",
    ):
        raise RuntimeError(f"{report.documents} documents, progress {progress}")
    return report.documents


def _plan(seed: int, number: int, rng: np.random.Generator) -> tuple[str, str]:
    """Choose verb and point: first every combination once, in random order; then random times, half of them builds."""
    order = np.random.default_rng(seed).permutation(len(COMBINATIONS))
    if number < len(order):
        return COMBINATIONS[order[number]]
    verb = "build" if rng.random() < 0.5 else str(rng.choice(["compact", "seal", "merge"]))
    return verb, "" if rng.random() < 0.7 else _point(verb, rng)


def _point(verb: str, rng: np.random.Generator) -> str:
    return str(rng.choice(sorted(PASSES[verb])))


@dataclass
class Child:
    """A running command and the number of documents that it started to encode."""

    process: BaseProcess
    messages: Connection
    encoded: int = 0

    def receive(self) -> bool:
        """Count the documents of the next message; False at the end of all messages."""
        try:
            self.encoded += self.messages.recv()
        except (EOFError, OSError):
            return False
        return True


def start(verb: str, path: Path, *more: object, kill_at: str = "") -> Child:
    """Start a command; return once it has started to work."""
    messages, sent = processes.pipe()
    process = processes.fork(builder.main, sent, verb, path, tuple(map(str, more)), kill_at)
    sent.close()
    child = Child(process, messages)
    child.receive()
    return child


def end(child: Child, after_s: float | None) -> int:
    """Wait for the end, or kill after `after_s` seconds; return the exit code, -9 if it was killed."""
    child.process.join(after_s)
    if child.process.is_alive():
        child.process.kill()
        child.process.join()
    while child.receive():
        pass
    child.messages.close()
    assert child.process.exitcode is not None
    return child.process.exitcode


ELSEWHERE = {name for name in POINTS if name.startswith("remote.")}  # tests/store/remote
UNREACHED = set(POINTS) - ELSEWHERE - {name for _, name in COMBINATIONS}
if UNREACHED:
    raise RuntimeError(f"no scenario passes {sorted(UNREACHED)}")
