"""SIGKILL during `lateint index`, with a tiny random model and a JSONL corpus; the same command runs until it finishes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from lateint_store import open_store
from lateint_store.format.manifest import MANIFEST_FILE
from tests.campaign.pool import child_environment, death
from tests.campaign.stores import scratch
from tests.support.paths import ROOT

KILLS = 20
DOCUMENTS = 3_000
POINTS = ("append.before_put", "append.after_put", "append.before_commit", "append.after_commit")
STARTING_S = 120


@dataclass(frozen=True, slots=True)
class Indexing:
    """One command. `seconds`: its run time, counted from the moment that its store exists."""

    model: Path
    corpus: Path
    seconds: float = 0.0

    def start(self, store: Path, kill_at: str = "") -> subprocess.Popen[str]:
        """Start indexing."""
        return subprocess.Popen(
            [
                sys.executable, "-m", "lateint", "index", "--model", str(self.model), "--corpus", str(self.corpus),
                "--store", str(store), "--query-max-length", "16", "--doc-max-length", "48", "--no-progress",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            env=child_environment(LATEINT_KILL_AT=kill_at, TOKENIZERS_PARALLELISM="false"),
        )  # fmt: skip


def run(seed: int, scale: float, case: int | None) -> dict[str, Any]:
    """Kill `KILLS` * scale commands; finish and compare each store. `case`: number of the only kill to run."""
    with scratch() as folder:
        indexing, digest = _reference(folder)
        wanted = ceil(KILLS * scale) if case is None else case + 1
        first = 0 if case is None else case
        kills, stores, failures = first, 0, []
        while kills < wanted:
            done, problem = _until_finished(indexing, folder / f"store{stores}", digest, (seed, kills, wanted))
            if problem:
                failures.append({"case": kills, "detail": problem})
            kills, stores = max(done, kills + 1), stores + 1
    return {"kills": kills - first, "stores": stores, "documents": DOCUMENTS, "failures": failures, "ok": not failures}


def _reference(folder: Path) -> tuple[Indexing, str]:
    """Index once without a kill; return the command with its time, and the content digest."""
    from transformers.utils import logging

    from lateint.testing.tiny import checkpoint, texts

    logging.disable_progress_bar()
    corpus = folder / "corpus.jsonl"
    lines = (json.dumps({"id": f"d{number}", "text": text}) for number, text in enumerate(texts(DOCUMENTS)))
    corpus.write_text("\n".join(lines) + "\n", encoding="utf-8")
    indexing = Indexing(checkpoint("bert"), corpus)
    process = indexing.start(folder / "reference")
    _wait_for_store(process, folder / "reference")
    begun = time.perf_counter()
    _, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"indexing {death(process.returncode)} without being killed: {errors}")
    seconds = time.perf_counter() - begun
    with open_store(folder / "reference") as store:
        return Indexing(indexing.model, corpus, seconds), store.content_digest()


def _until_finished(indexing: Indexing, path: Path, digest: str, plan: tuple[int, int, int]) -> tuple[int, str]:
    """Run the kills of `plan` (seed, first, end), then finish; return the next number and the problem, empty if none."""
    seed, number, end = plan
    while number < end:
        process = _kill(indexing, path, np.random.default_rng([seed, number]))
        _, errors = process.communicate()
        if process.returncode == 0:
            break
        if process.returncode != -9:
            return number, f"{death(process.returncode)}: {errors[-300:]}"
        number += 1
        if (path / MANIFEST_FILE).exists():
            with open_store(path) as store:
                if not store.verify().ok:
                    return number, f"after kill {number - 1} verify finds {store.verify().problems[0]}"
    process = indexing.start(path)
    _, errors = process.communicate()
    if process.returncode != 0:
        return number, f"run again: {death(process.returncode)}: {errors[-300:]}"
    with open_store(path) as store:
        if store.content_digest() != digest:
            return number, "the content digest differs from the undisturbed one"
        return number, "" if store.verify().ok else f"verify finds {store.verify().problems[0]}"


def _kill(indexing: Indexing, path: Path, rng: np.random.Generator) -> subprocess.Popen[str]:
    """Start and kill: at a point of one of the next two windows, or at any time once the store exists."""
    if rng.random() < 0.5:
        return indexing.start(path, f"{rng.choice(POINTS)}:{rng.integers(1, 3)}")
    process = indexing.start(path)
    _wait_for_store(process, path)
    try:
        process.wait(rng.uniform(0, indexing.seconds))
    except subprocess.TimeoutExpired:
        process.kill()
    return process


def _wait_for_store(process: subprocess.Popen[str], path: Path) -> None:
    """Wait until the process has claimed the store: its lock file is newer than the start."""
    begun, lock = time.time(), path / "writer.lock"
    deadline = begun + STARTING_S
    while process.poll() is None and time.time() < deadline:
        if lock.exists() and lock.stat().st_mtime >= begun:
            return
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
