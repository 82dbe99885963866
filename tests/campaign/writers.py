"""Two threads, or two processes, change one store: it ends as a model in memory says that it may.

Every entry that is added has numbers of its own, so a document tells which call wrote it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lateint_store import Entry, Store, open_store
from lateint_store.errors import DuplicateDocument, MissingDocument, SealedStore, StoreLocked
from tests.campaign.cases import Case, Draws, Figures, Lost, Wrong, run_cases
from tests.campaign.stores import scratch
from tests.support.stores import build, entry

CASES = 1_000  # half of them with threads, half with processes
STEPS, NUMBERS = 10, range(10)  # calls of each writer; numbers of the documents that they fight about
FIRST = range(6)  # documents that the store starts with


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was acknowledged: its verb, the document, the version that it wrote, when it began and ended."""

    verb: str
    number: int
    version: int
    began: float
    ended: float


def run(draws: Draws, n: int) -> Figures:
    """Run n cases: threads in even ones, processes in odd ones."""
    with scratch(fast=True) as folder:
        build(folder / "sound", len(FIRST), documents_per_shard=4).close()
        return run_cases(draws, n, partial(_start, folder))


def _start(folder: Path) -> Case:
    def case(number: int, rng: np.random.Generator) -> str:
        path = folder / "store"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(folder / "sound", path)
        seeds = [int(seed) for seed in rng.integers(1 << 30, size=2)]
        calls = _by_threads(path, seeds) if number % 2 == 0 else _by_processes(path, seeds)
        check(path, calls)
        return "threads" if number % 2 == 0 else "processes"

    return case


def versioned(number: int, version: int) -> Entry:
    """A document whose numbers tell its version."""
    made = entry(number, rows=3)
    return Entry(made.id, {**made.arrays, "token_ids": np.array([number, version % 60_000, version // 60_000])})


def write(open_one: Callable[[], Any], seed: int, calls: list[Call]) -> None:
    """Call the store at random, and note each call that it acknowledged."""
    chance = random.Random(seed)
    for step in range(STEPS):
        verb = chance.choices(["add", "delete", "compact", "seal"], [6, 4, 1, 0.02])[0]
        number, version, began = chance.choice(NUMBERS), seed % 50_000_000 + 1 + step, time.monotonic()
        with suppress(DuplicateDocument, MissingDocument, SealedStore), open_one() as store:
            _call(store, verb, number, version)
            calls.append(Call(verb, number, version, began, time.monotonic()))


def _call(store: Store, verb: str, number: int, version: int) -> None:
    if verb == "add":
        store.add([versioned(number, version)])
    elif verb == "delete":
        store.delete([f"doc{number}"])
    else:
        getattr(store, verb)()


class _Shared:
    """A store that stays open at the end of a block."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __enter__(self) -> Store:
        return self.store

    def __exit__(self, *error: object) -> None:
        return


def _by_threads(path: Path, seeds: list[int]) -> list[Call]:
    """Two threads write, a third one reads."""
    calls: list[Call] = []
    problems: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            problems.append(error)

    with open_store(path, write=True) as store:
        works = [partial(write, partial(_Shared, store), seed, calls) for seed in seeds]
        threads = [threading.Thread(target=guarded, args=(work,)) for work in [*works, partial(_watch, path)]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if problems:
        raise problems[0]
    return calls


def _watch(path: Path) -> None:
    """Read while others write: no snapshot holds an id twice, and every document has its own numbers."""
    with open_store(path) as reader:
        for _ in range(6):
            ids = list(reader.ids())
            if len(ids) != len(set(ids)):
                raise Wrong("a reader sees an id twice")
            with suppress(MissingDocument):
                for doc_id, arrays in zip(ids, reader.get(ids), strict=True):
                    if int(doc_id[3:]) >= len(FIRST) and arrays["token_ids"][0] != int(doc_id[3:]):
                        raise Wrong(f"a reader gets the numbers of another document for {doc_id}")


def _by_processes(path: Path, seeds: list[int]) -> list[Call]:
    """Two processes open the store in turn, and write."""
    logs = [path.with_name(f"log{number}") for number in range(len(seeds))]
    children = []
    for seed, log in zip(seeds, logs, strict=True):
        child = os.fork()
        if child == 0:
            _write_in_child(path, seed, log)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if any(codes):
        raise Wrong(f"writers ended with {codes}: {[log.read_text() for log in logs if log.exists()]}")
    return [Call(**call) for log in logs for call in json.loads(log.read_text())]


def _write_in_child(path: Path, seed: int, log: Path) -> None:
    code = 1
    try:
        calls: list[Call] = []
        write(partial(_patient, path), seed, calls)
        log.write_text(json.dumps([asdict(call) for call in calls]))
        code = 0
    except BaseException as error:
        log.write_text(repr(error))
    finally:
        os._exit(code)


def _patient(path: Path) -> Store:
    """Open a store for writing once no other process has it open."""
    while True:
        try:
            return open_store(path, write=True)
        except StoreLocked:
            time.sleep(0.0005)


def check(path: Path, calls: list[Call]) -> None:
    """Compare the store with the calls. Raises: Wrong, Lost."""
    with open_store(path) as store:
        report, ids = store.verify(), list(store.ids())
        found = {int(doc_id[3:]): arrays["token_ids"] for doc_id, arrays in zip(ids, store.get(ids), strict=True)}
    if not report.ok:
        raise Wrong(f"verify: {report.problems[0]}")
    if len(ids) != len(found):
        raise Wrong(f"an id stands twice: {ids}")
    for number in sorted({*NUMBERS, *found}):
        mine = [call for call in calls if call.number == number and call.verb in ("add", "delete")]
        _check_document(number, mine, found.get(number))


def _check_document(number: int, calls: list[Call], held: Any) -> None:
    """Compare one document with the calls that named it."""
    added = {call.version: call for call in calls if call.verb == "add"}
    left = (number in FIRST) + 2 * len(added) - len(calls)  # adds minus deletions
    if left not in (0, 1):
        raise Wrong(f"doc{number}: acknowledged {len(added)} additions and {len(calls) - len(added)} deletions")
    if held is None:
        if left:
            raise Lost(f"doc{number} was added and is gone")
        return
    if not left:
        raise Wrong(f"doc{number} was deleted and is back")
    version = int(held[1]) + 60_000 * int(held[2]) if len(held) == 3 and held[0] == number else None
    if version not in added:
        if number not in FIRST:
            raise Wrong(f"doc{number} has numbers that no call wrote")
        version = None  # the document that the store started with
    written = added[version].ended if version is not None else 0.0
    if any(call.verb == "delete" and call.began > written for call in calls):
        raise Wrong(f"doc{number}: a deletion that began after version {version} was written had no effect")
