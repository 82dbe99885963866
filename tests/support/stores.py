"""Small stores for tests: two lossless arrays and a lossy one, whose contents depend on the document number alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lateint_store import ArraySpec, Entry, Pipeline, Store, create_store, parse_codecs
from lateint_store.disk import killpoints
from tests.support.paths import ROOT

WINDOW = 32
CODECS = "states=cast:float16+zstd;token_ids=cast:uint16;vector=int8"
ABOUT: dict[str, Any] = {"model": {"name": "toy"}, "fingerprint": {"weights": "ab" * 32}, "head": {"name": "none"}}


def specs(codecs: str = CODECS, width: int = 8) -> dict[str, Pipeline]:
    chosen = parse_codecs(codecs)
    shapes = {
        "states": ArraySpec("float32", width),
        "token_ids": ArraySpec("int64", None),
        "vector": ArraySpec("float32", 12, "one"),
    }
    return {name: Pipeline(shapes[name], parts) for name, parts in chosen.items()}


def entry(number: int, rows: int | None = None, width: int = 8) -> Entry:
    rng = np.random.default_rng(number)
    rows = number % 7 if rows is None else rows
    return Entry(
        f"doc{number}",
        {
            "states": rng.standard_normal((rows, width)).astype(np.float16).astype(np.float32),
            "token_ids": rng.integers(0, 30_000, rows),
            "vector": rng.standard_normal(12).astype(np.float32),
        },
    )


def entries(numbers: Iterable[int]) -> list[Entry]:
    return [entry(number) for number in numbers]


def fill(store: Store, documents: int, shard: tuple[int, int] | None = None) -> None:
    """Continue a build at the stored position, window by window; a shard skips the windows of other shards."""
    for start in range(store.progress.source_position, documents, WINDOW):
        end = min(start + WINDOW, documents)
        mine = shard is None or start // WINDOW % shard[1] == shard[0]
        store.append(entries(range(start, end)) if mine else [], end, f"digest to {end}")


def build(path: Path, documents: int, **changes: Any) -> Store:
    store = create_store(path, specs(), **(ABOUT | {"window": WINDOW} | changes))
    fill(store, documents, changes.get("shard"))
    return store


def contents(store: Store, ids: Sequence[str] | None = None) -> dict[str, dict[str, bytes]]:
    """Decoded bytes of each array of each document, by id, in order."""
    ids = list(store.ids()) if ids is None else ids
    return {
        doc_id: {name: array.tobytes() for name, array in arrays.items()}
        for doc_id, arrays in zip(ids, store.get(ids), strict=True)
    }


def run_child(*arguments: object, kill_at: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a verb of `tests/support/store_child.py` in a new Python, which takes half a second to import the store."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'store'}", "LATEINT_KILL_AT": kill_at}
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "tests.support.store_child", *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=60, check=check,
    )  # fmt: skip


def fork_child(*arguments: object, kill_at: str = "") -> tuple[int, str]:
    """Run a verb of `tests/support/store_child.py` in a fork of this process; return its exit code and what it printed.

    The code is -9 after the kill point. For callers that have no store open.
    """
    from tests.support.store_child import answer

    answers, written = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(60)
            killpoints.arm(kill_at)
            os.write(written, answer(*map(str, arguments)).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(written)
    with open(answers) as pipe:
        printed = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), printed
