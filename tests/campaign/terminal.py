"""Control characters in ids, texts, names, files and options: none reaches a terminal from any verb.

A case runs one verb of the command line over hostile data, with a pseudo-terminal as its standard output and error, and
looks at every byte that arrives there.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from lateint.testing import tiny
from tests.campaign.cases import Case, Draws, Figures, Untyped, Wrong, run_cases
from tests.campaign.stores import scratch

CASES = 180
EVIL = [
    "\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\u202egpj.exe", "\u2028", "\x08\x08\x08ok", "\x00", "\x7f", "a\rb", "\x0b",
    "\x85", "\u2066x\u2069", "\x1b[6n", "\x90q\x9c",
]  # fmt: skip
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
OURS = re.compile(r"\x1b\[(?:31|0)m|\r(?=\n)")  # the colour of warnings; the terminal's line ends
MODEL = ("--method", "prettr", "--query-max-length", "16", "--doc-max-length", "32")


def run(draws: Draws, n: int) -> Figures:
    """Run n commands."""
    with scratch(fast=True) as folder:
        return run_cases(draws, n, partial(_start, folder))


def _start(folder: Path) -> Case:
    return partial(_case, folder / "at")


def _case(folder: Path, number: int, rng: np.random.Generator) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    verbs = sorted(VERBS)
    verb = verbs[number % len(verbs)]
    data = Data(folder, [str(word) for word in rng.choice(EVIL, 3)], rng)
    VERBS[verb](data)
    for command in data.commands:
        code, shown = on_terminal(command)
        if code not in (0, 1, 2, 3):
            raise Untyped(f"{verb} {command}: exit code {code}: {shown[-300:]!r}")
        if "Traceback" in shown:
            raise Untyped(f"{verb} {command}: {shown[-400:]!r}")
        if found := FORBIDDEN.search(OURS.sub("", shown)):
            around = shown[max(0, found.start() - 80) : found.end() + 80]
            raise Wrong(f"{verb} {command} with {data.evil}: {around!r}")
    return verb


class Data:
    """Hostile files in a folder, and the commands that read them."""

    def __init__(self, folder: Path, evil: list[str], rng: np.random.Generator) -> None:
        self.folder, self.evil, self.rng = folder, evil, rng
        self.commands: list[list[str]] = []

    def evil_word(self) -> str:
        """One of the hostile strings, sometimes behind a harmless word."""
        return str(self.rng.choice(["", "x", "tea"])) + str(self.rng.choice(self.evil))

    def file(self, name: str, lines: list[str]) -> str:
        """Write a file, sometimes under a hostile name."""
        hostile = self.evil_word().replace("/", "").replace("\0", "") if self.rng.random() < 0.3 else ""
        path = self.folder / f"{hostile}{name}"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")
        return str(path)

    def command(self, *arguments: object) -> None:
        """Run this later."""
        self.commands.append([str(argument) for argument in arguments])

    def corpus(self) -> str:
        """Documents with hostile ids, texts and titles; sometimes a malformed line."""
        ids = [f"d{i}{self.evil_word() if self.rng.random() < 0.5 else ''}" for i in range(5)]
        made = [{"id": doc_id, "text": f"bread {self.evil_word()}", "title": self.evil_word()} for doc_id in ids]
        lines = [json.dumps(one, ensure_ascii=bool(self.rng.random() < 0.7)) for one in made]
        if self.rng.random() < 0.4:
            lines.insert(2, str(self.rng.choice([lines[0], '{"id": "' + self.evil[0], json.dumps({"id": 3, self.evil[1]: 4})])))
        return self.file("corpus.jsonl", lines)

    def queries(self) -> str:
        """Queries with hostile ids and texts."""
        return self.file("queries.tsv", [f"q{self._flat()}\tbread {self._flat()}", "q2\toven"])

    def candidates(self) -> str:
        """A run with hostile ids."""
        return self.file("run.trec", [f"q2 Q0 d{self._flat()} 1 2.5 tag", f"q{self._flat()} Q0 d1 1 2.5 t{self._flat()}"])

    def qrels(self) -> str:
        """Judgements with hostile ids and labels."""
        return self.file("qrels.txt", [f"q2 0 d{self._flat()} 1", f"q{self._flat()} 0 d1 {self._flat() or 1}"])

    def _flat(self) -> str:
        """A hostile word without line ends and blanks, or nothing."""
        return re.sub(r"\s", "", self.evil_word()) if self.rng.random() < 0.5 else ""

    def store(self, name: str = "store") -> str:
        """A store; its model's name is a hostile path."""
        model = self.folder / f"m{self.evil[0]}".replace("/", "").replace("\0", "")
        if not model.exists():
            model.symlink_to(tiny.checkpoint("bert"))
        self.command(
            "index", "--model", model, *MODEL, "--corpus", self.corpus(), "--store", self.folder / name, "--no-progress"
        )
        return str(self.folder / name)


def _rank(data: Data) -> None:
    common = ("--queries", data.queries(), "--candidates", data.candidates())
    data.command("rank", "--store", data.store(), *common, "--output", "-", "--missing", "skip")
    data.command("rank", "--corpus", data.corpus(), "--model", tiny.checkpoint("bert"), *common, "--output", "-")
    data.command("rank", "--store", data.store("two"), *common, "--ladder", data.evil_word().replace("\0", ""), "--output", "-")


def _retrieve(data: Data) -> None:
    store = ("--model", tiny.checkpoint("bert"), "--method", "cosine", "--corpus", data.corpus(), "--store", data.folder / "v")
    data.command("index", *store, "--query-max-length", "16", "--doc-max-length", "32", "--no-progress")
    data.command("retrieve", "--store", data.folder / "v", "--queries", data.queries(), "--k", "3", "--output", "-")


def _store(data: Data) -> None:
    store = data.store()
    for verb in ("info", "verify", "compact", "seal"):
        data.command("store", verb, store)
    data.command("store", "info", store, "--json")
    data.command(
        "store",
        "recode",
        store,
        "--output",
        data.folder / "out",
        "--codecs",
        f"states=int8{data.evil_word()}".replace("\0", ""),
    )
    data.command("store", "merge", data.folder / "merged", store)


def _change(data: Data) -> None:
    store = data.store()
    data.command("store", "add", store, "--corpus", data.corpus())
    data.command("store", "delete", store, "--ids-from", data.file("ids.txt", [f"d{data._flat()}", "d0"]))
    data.command("store", "delete", store, data.evil_word().replace("\0", ""))


def _eval(data: Data) -> None:
    common = ("--qrels", data.qrels(), "--run", data.candidates())
    data.command("eval", *common)
    data.command("eval", *common, "--audit")
    data.command("eval", *common, "--json")
    data.command("eval", *common, "--measures", data.evil_word().replace("\0", ""))
    data.command("eval", *common, "--msmarco")


def _eval_pairs(data: Data) -> None:
    lines = [f"{data._flat()}a\tb{data._flat()}\t{value}" for value in ("0.5", "1.5", data._flat() or "2")]
    data.command("eval-pairs", "--model", tiny.checkpoint("bert"), "--pairs", data.file("pairs.tsv", lines))


def _plan(data: Data) -> None:
    data.command("plan", "--model", tiny.checkpoint("bert"), "--corpus", data.corpus())
    data.command("methods")


def _train(data: Data) -> None:
    folder = data.folder / data.evil_word().replace("/", "").replace("\0", "x")
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"_id": f"d{i}{data._flat()}", "text": data.evil_word(), "title": ""}) for i in range(3)]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q1", "text": data.evil_word()}))
    (folder / "qrels" / "train.tsv").write_text(f"query-id\tcorpus-id\tscore\nq1\td{data._flat()}\t1\n")
    data.command(
        "train", "--method", "mice", "--base", tiny.checkpoint("bert"), "--data", folder, "--steps", 1, "--output", folder / "o"
    )


def _study(data: Data) -> None:
    word = json.dumps(data.evil_word())
    lines = ["[[data]]", f"name = {word}", f"corpus = {json.dumps(data.corpus())}", f"queries = {json.dumps(data.queries())}"]
    lines += [f"qrels = {json.dumps(data.qrels())}", f"run = {json.dumps(data.candidates())}", "[[grids]]", f"model = {word}"]
    data.command("study", data.file("study.toml", lines), "--output", data.folder / "study")
    data.command(data.evil_word().replace("\0", ""), "--help")


VERBS: dict[str, Callable[[Data], None]] = {
    "rank": _rank, "retrieve": _retrieve, "store": _store, "store add and delete": _change, "eval": _eval,
    "eval-pairs": _eval_pairs, "plan": _plan, "train": _train, "study": _study,
}  # fmt: skip


def on_terminal(arguments: list[str]) -> tuple[int, str]:
    """Run a command in a fork whose standard output and error are a terminal. Returns: exit code, and what was shown."""
    child, terminal = pty.fork()
    if child == 0:
        code = 99
        try:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            code = _run(arguments)
        finally:
            os._exit(code)
    found: list[bytes] = []
    reader = threading.Thread(target=_read, args=(terminal, found))
    reader.start()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    reader.join()
    os.close(terminal)
    return code, b"".join(found).decode(errors="backslashreplace")


def _run(arguments: list[str]) -> int:
    """Run the command line as a fresh process does."""
    import io
    import sys
    import traceback

    from transformers.utils import logging

    from lateint.cli.main import run
    from lateint.cli.printing import use_utf8

    logging.disable_progress_bar()

    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", buffering=0, closefd=False), write_through=True)
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", buffering=0, closefd=False), write_through=True)
    use_utf8()
    try:
        return run(arguments)
    except BaseException:
        traceback.print_exc()
        return 98


def _read(terminal: int, found: list[bytes]) -> None:
    while True:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # the child has ended
            return
        if not data:
            return
        found.append(data)
