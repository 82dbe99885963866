"""SIGKILL of readers at any moment, inside and outside a view, while a writer works: pages come back, nothing else changes."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from lateint_store import Store, open_store
from tests.campaign.cases import Case, Draws, Figures, Lost, Wrong, run_cases
from tests.campaign.stores import scratch
from tests.support.stores import build, contents, entry

CASES = 300
DOCUMENTS, CHANGES, GROWTH = 60, 30, 2.5  # largest allowed growth of the file over all changes after the kills


def run(draws: Draws, n: int) -> Figures:
    """Kill the readers of n stores."""
    with scratch(fast=True) as folder:
        with build(folder / "sound", DOCUMENTS) as store:
            truth = contents(store)
        return run_cases(draws, n, partial(_start, folder, truth))


def _start(folder: Path, truth: dict[str, dict[str, bytes]]) -> Case:
    return partial(_case, folder / "sound", folder / "store", truth)


def _case(sound: Path, path: Path, truth: dict[str, dict[str, bytes]], number: int, rng: np.random.Generator) -> str:
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(sound, path)
    with open_store(path, write=True) as store:
        children = [_reader(path, bool(rng.random() < 0.5)) for _ in range(rng.integers(1, 4))]
        _change(store, int(rng.integers(0, 4)), 100)
        for child in children:
            time.sleep(rng.uniform(0, 0.003))
            os.kill(child, signal.SIGKILL)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        if set(codes) != {-signal.SIGKILL}:
            raise Wrong(f"readers ended with {codes} before they were killed")
        _change(store, 1, 200)
        size = _bytes(path)
        _change(store, CHANGES, 300)
        if _bytes(path) > GROWTH * size:
            raise Wrong(f"the file grew from {size} to {_bytes(path)} bytes: killed readers hold its pages")
        if contents(store) != truth:
            raise Lost("other documents after the kills")
        if not store.verify().ok:
            raise Wrong(f"verify: {store.verify().problems[0]}")
    return f"cases with killed readers: {len(children)}"


def _change(store: Store, times: int, first: int) -> None:
    """Add and delete documents, which takes and frees pages."""
    for number in range(first, first + times):
        store.add([entry(number)])
        store.delete([f"doc{number}"])


def _bytes(path: Path) -> int:
    return (path / "shard-0000" / "data.mdb").stat().st_size


def _reader(path: Path, holds: bool) -> int:
    """Fork a reader that reads until it is killed; returns once it has begun. `holds`: it stays inside one view."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException), open_store(path) as store:
            if holds:
                with store.view() as view:
                    view.fetch(["doc1"])
                    os.write(tell, b"x")
                    signal.pause()
            os.write(tell, b"x")
            while True:
                contents(store, ["doc1", "doc2"])
        os._exit(1)
    os.close(tell)
    begun = os.read(ready, 1)
    os.close(ready)
    if not begun:
        raise Wrong("a reader could not open the store")
    return child
