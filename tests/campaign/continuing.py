"""Commands that are killed or interrupted and repeated: the end is that of a command that nobody disturbed.

A command runs in a fork; a signal reaches it at a random time or at a named point of the store. The same command follows
until it ends by itself. Compared are contents of stores, weights of checkpoints and results of studies.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lateint.indexing.store import open_store
from lateint.loading.load import load_model
from lateint.testing import tiny
from lateint_store.disk import killpoints
from tests.campaign.cases import Case, Draws, Figures, Lost, Wrong, run_cases
from tests.campaign.stores import scratch
from tests.support.paths import TOY

CASES = 300
ORDER = ("index", "delete", "add", "index", "add", "delete", "index", "train", "index", "study")  # verbs of cases, by number
IN_A_ROW = 3
TRIES = 8  # of a command that ends before the signal comes
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
CLOSE = 2e-3  # weights after a resumed training: documents are encoded in other batches
LENGTHS = ("--query-max-length", "16", "--doc-max-length", "32")
DOCUMENTS, ADDED = 200, 150  # windows of chunked stores have 64 documents
POINTS = {
    "index": ("create.shard", "manifest.before_rename", "append.before_put", "append.before_commit", "append.after_commit"),
    "add": ("append.before_put", "append.after_put", "append.before_commit", "append.after_commit"),
    "delete": ("delete.before_commit", "delete.after_commit"),
}


@dataclass(frozen=True, slots=True)
class Verb:
    """A command in a folder, what its folder holds at first, and what to compare at the end."""

    command: Callable[[Path], list[object]]
    result: Callable[[Path], Any]
    needs: tuple[str, ...] = ()


def _index(folder: Path, corpus: str = "corpus.jsonl") -> list[object]:
    chunks = ("--chunk-tokens", "12", "--no-progress")
    model = ("--model", tiny.checkpoint("bert"), "--method", "prettr", *LENGTHS)
    return ["index", *model, *chunks, "--corpus", folder.parent / corpus, "--store", folder / "store"]


def _contents(folder: Path) -> tuple[str, tuple[str, ...]]:
    with open_store(folder / "store") as store:
        if not (report := store.verify()).ok:
            raise Wrong(f"verify: {report.problems[0]}")
        return store.content_digest(), tuple(store.ids())


def _train(folder: Path) -> list[object]:
    common = ("--method", "mores", "--base", tiny.checkpoint("bert"), "--data", folder.parent / "toy", "--steps", "4")
    return ["train", *common, *LENGTHS, "--output", folder / "model"]


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder / "model").state_dict()


def _points(folder: Path) -> Any:
    found = json.loads((folder / "study" / "results.json").read_text())
    return [{key: value for key, value in point.items() if key != "timing"} for point in found["points"]], found["data"]


VERBS = {
    "index": Verb(_index, _contents),
    "add": Verb(
        lambda folder: ["store", "add", folder / "store", "--corpus", folder.parent / "more.jsonl"], _contents, ("store",)
    ),
    "delete": Verb(
        lambda folder: ["store", "delete", folder / "store", *(f"d{i}" for i in range(0, DOCUMENTS, 3))], _contents, ("store",)
    ),
    "train": Verb(_train, _weights),
    "study": Verb(lambda folder: ["study", folder.parent / "study.toml", "--output", folder / "study"], _points),
}


def run(draws: Draws, n: int) -> Figures:
    """Disturb n commands."""
    with scratch(fast=True) as folder:
        _make(folder)
        return run_cases(draws, n, partial(_start, folder), limit_s=300)


def _make(folder: Path) -> None:
    """Write what the commands read."""
    texts = tiny.texts(DOCUMENTS + ADDED, longest=20)
    for name, numbers in (("corpus", range(DOCUMENTS)), ("more", range(DOCUMENTS, DOCUMENTS + ADDED))):
        lines = (json.dumps({"id": f"d{number}", "text": texts[number]}) for number in numbers)
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    toy = folder / "toy"
    (toy / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl"):
        shutil.copy(TOY / name, toy / name)
    shutil.copy(TOY / "qrels" / "test.tsv", toy / "qrels" / "train.tsv")
    (toy / "runs").mkdir()
    (toy / "runs" / "bm25.train.top15.trec.gz").write_bytes(gzip.compress((TOY / "run.beir.trec").read_bytes()))
    grid = {"model": str(tiny.checkpoint("bert")), "method": ["prettr"], "offline_layers": [1, 2], "depth": 5}
    grid |= {"codecs": ["states=int8", "states=int4"], "doc_max_length": 48, "query_max_length": 24}
    files = {"corpus": "collection.tsv", "queries": "queries.tsv", "qrels": "qrels.tsv", "run": "run.trec"}
    tables = [("data", {"name": "toy"} | {key: str(TOY / name) for key, name in files.items()}), ("grids", grid)]
    lines = (f"[[{name}]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in table.items()) for name, table in tables)
    (folder / "study.toml").write_text("".join(lines))


def _start(folder: Path) -> Case:
    known: dict[str, tuple[Any, float]] = {}
    _undisturbed(folder, "store", _index)

    def case(number: int, rng: np.random.Generator) -> str:
        name = ORDER[number % len(ORDER)]
        if name not in known:
            _fill(folder, VERBS[name], folder / f"whole-{name}")
            seconds = _undisturbed(folder, f"whole-{name}", VERBS[name].command)
            known[name] = VERBS[name].result(folder / f"whole-{name}"), seconds
        return _case(folder, name, *known[name], rng)

    return case


def _undisturbed(folder: Path, name: str, command: Callable[[Path], list[object]]) -> float:
    """Run a command to its end in a folder of that name. Returns: its seconds."""
    (folder / name).mkdir(exist_ok=True)
    begun = time.perf_counter()
    code, errors = _end(_begin(command(folder / name)))
    if code != 0:
        raise RuntimeError(f"{name} ends with {code} without being disturbed: {errors}")
    return time.perf_counter() - begun


def _fill(folder: Path, verb: Verb, path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    for name in verb.needs:
        shutil.copytree(folder / name / name, path / name)


def _case(folder: Path, name: str, truth: Any, seconds: float, rng: np.random.Generator) -> str:
    verb, path, hits, codes = VERBS[name], folder / "at", 0, []
    wanted = int(rng.integers(1, IN_A_ROW + 1))
    _fill(folder, verb, path)
    while hits < wanted and len(codes) < TRIES:
        code, errors = _disturbed(name, verb.command(path), seconds, rng)
        codes.append(code)
        if code == 0 and hits:
            break
        if code == 0:  # it ended before the signal came
            _fill(folder, verb, path)
            continue
        if code not in (-signal.SIGKILL, -signal.SIGTERM, 130):
            raise Wrong(f"{name} ended with {codes}: {errors}")
        hits += 1
    if codes[-1] != 0 or not hits:
        code, errors = _end(_begin(verb.command(path)))
        if code != 0:
            raise Lost(f"{name} cannot continue after {codes}: exit code {code}: {errors}")
    if not _equal(found := verb.result(path), truth):
        raise Wrong(f"{name} after {codes} differs from the undisturbed one: {str(found)[:200]}")
    return f"{name}: {hits} times"


def _equal(found: Any, truth: Any) -> bool:
    if not isinstance(truth, dict):
        return bool(found == truth)
    return found.keys() == truth.keys() and all(torch.allclose(found[name], truth[name], rtol=0, atol=CLOSE) for name in truth)


def _disturbed(name: str, command: list[object], seconds: float, rng: np.random.Generator) -> tuple[int, str]:
    """Run a command, and disturb it at a named point or at any time."""
    if name in POINTS and rng.random() < 0.5:
        return _end(_begin(command, f"{rng.choice(POINTS[name])}:{rng.integers(1, 4)}"))
    child = _begin(command)
    time.sleep(rng.uniform(0, 1.1 * seconds))
    os.kill(child, SIGNALS[rng.integers(len(SIGNALS))])
    return _end(child)


def _begin(command: list[object], kill_at: str = "") -> int:
    """Run a command in a fork; its messages go to a file. Returns: its process id."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        messages = os.open(_messages(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(messages, 2)
        sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace")  # a test has replaced it
        killpoints.arm(kill_at)
        from lateint.cli.main import run

        code = run([str(word) for word in command])
    except KeyboardInterrupt:
        code = 130  # before the command line could take it
    finally:
        os._exit(code)


def _messages(child: int) -> Path:
    return Path(f"/dev/shm/lateint-campaign-{os.getuid()}-{child}.messages")


def _end(child: int) -> tuple[int, str]:
    """Wait for a command. Returns: its exit code, and the end of what it said."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        said = _messages(child).read_text(errors="replace")
    except FileNotFoundError:
        said = ""
    _messages(child).unlink(missing_ok=True)
    return code, said[-300:]
