"""Links, pipes, devices, sockets and folders in place of each file that is read: refused or harmless, and no wait."""

from __future__ import annotations

import os
import resource
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from lateint.errors import LateintError
from lateint.indexing.store import open_store
from lateint.loading.load import load_model
from lateint.ranking.ranker import Ranker
from lateint.train.resume import claim
from lateint.train.scores import Scores
from lateint_eval.studies.folder import Folder
from lateint_store import verify_store
from tests.campaign.cases import Case, Draws, Figures, Wrong, run_cases
from tests.campaign.stores import scratch
from tests.support import engine
from tests.support.engine import IDS, QUERY

SETTINGS = {"method": "mice", "seed": 0}
TEACHER = {"name": "one", "digest": "a" * 64}


@dataclass(frozen=True, slots=True)
class Use:
    """A file, and what reads or writes it. `follows`: a link to the file itself is welcome, as a hub's cache has them."""

    file: str
    call: Callable[[Path], object]
    follows: bool = False


def _rank(folder: Path) -> object:
    with open_store(folder / "store") as store:
        return Ranker(engine.model(), store).rank(QUERY, IDS[:6]).hits


def _write(folder: Path) -> object:
    with open_store(folder / "store", write=True) as store:
        store.add(engine.DOCUMENTS[6:7], engine.model())
        store.compact()
        return len(store)


def _load(folder: Path) -> object:
    return Ranker(load_model(folder / "model")).logits([(QUERY, engine.DOCUMENTS[0].text)]).tolist()


def _scores(folder: Path) -> object:
    """The score of a pair; one that is not found is computed again, so it counts as right."""
    with Scores(folder / "scores", TEACHER) as scores:
        return [1.5 if score is None else score for score in scores.get([("q", "d")])]


def _study(folder: Path) -> object:
    return Folder(folder / "study").read(Folder(folder / "study").point("p"))


STORE = ["store/manifest.json", "store/shard-0000/data.mdb", "store/shard-0000/lock.mdb", "store/writer.lock"]
MODEL = ["config.json", "lateint.json", "lateint.safetensors", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
USES = [
    *(Use(file, call) for file in STORE for call in (_rank, _write, lambda folder: verify_store(folder / "store").ok)),
    *(Use(f"model/{file}", _load, follows=True) for file in MODEL),
    *(Use(file, _scores, follows=True) for file in ("scores", "scores-lock")),
    Use("run/run.json", lambda folder: claim(folder / "run", SETTINGS), follows=True),
    Use("study/points/p.json", _study, follows=True),
]


def _socket(file: Path, victim: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(file.parent, os.O_RDONLY)  # names of sockets are short
        server.bind(f"/proc/self/fd/{folder}/{file.name}")
        os.close(folder)


KINDS: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda file, victim: file.symlink_to(victim),
    "link to itself": lambda file, victim: file.symlink_to(file.name),
    "link to nothing": lambda file, victim: file.symlink_to(victim.with_name("nothing")),
    "link to the same bytes": lambda file, victim: file.symlink_to(victim.with_name("moved")),
    "pipe": lambda file, victim: os.mkfifo(file),
    "endless device": lambda file, victim: file.symlink_to("/dev/zero"),
    "empty device": lambda file, victim: file.symlink_to("/dev/null"),
    "full device": lambda file, victim: file.symlink_to("/dev/full"),
    "folder": lambda file, victim: file.mkdir(),
    "socket": _socket,
    "empty file": lambda file, victim: file.touch(),
}
GRID = list(product(USES, KINDS))
CASES = len(GRID)
ROOM = 1 << 30  # bytes that reading may take
PRECIOUS = b"precious content of another file\n" * 300


def run(draws: Draws, n: int) -> Figures:
    """Run n cases, spread over all uses and kinds."""
    with scratch(fast=True) as folder:
        engine.store(folder / "sound", documents=engine.DOCUMENTS[:6], map_size=1 << 26).close()
        engine.fresh_model("mores").save_pretrained(folder / "sound" / "model")
        with Scores(folder / "sound" / "scores", TEACHER) as scores:
            scores.put([("q", "d")], [1.5])
        claim(folder / "sound" / "run", SETTINGS)
        (folder / "sound" / "run" / "stage0").mkdir()
        study = Folder(folder / "sound" / "study")
        study.write(study.point("p"), {"value": 1})
        return run_cases(draws, n, partial(_start, folder, draws), limit_s=20)


def _start(folder: Path, draws: Draws) -> Case:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, resource.RLIM_INFINITY))  # an endless device fills memory otherwise
    order = np.random.default_rng(draws.seed).permutation(CASES)
    truth = {}
    for use in {use.call: use for use in USES}.values():
        truth[use.call] = _fresh(folder, use.call)

    def case(number: int, rng: np.random.Generator) -> str:
        use, kind = GRID[order[number % CASES]]
        return _case(folder, use, kind, truth[use.call])

    return case


def _fresh(folder: Path, call: Callable[[Path], object]) -> object:
    """What a call answers in a copy of the sound folder."""
    shutil.rmtree(folder / "copy", ignore_errors=True)
    shutil.copytree(folder / "sound", folder / "copy")
    return call(folder / "copy")


def _case(folder: Path, use: Use, kind: str, truth: object) -> str:
    shutil.rmtree(folder / "copy", ignore_errors=True)
    shutil.copytree(folder / "sound", folder / "copy")
    file, victim = folder / "copy" / use.file, folder / "victim"
    victim.write_bytes(PRECIOUS)
    for left in (folder / "moved", folder / "nothing"):
        left.unlink(missing_ok=True)
    file.rename(folder / "moved")
    KINDS[kind](file, victim)
    if kind == "link to nothing" and use.file == "scores":  # where the caller's file will be
        return "right"
    harmless = use.file.endswith(("lock", "lock.mdb")) or kind == "empty file"
    try:
        answer = use.call(folder / "copy")
    except LateintError as error:
        outcome = type(error).__name__
    else:
        if answer != truth and not (answer is False and kind == "empty file"):
            raise Wrong(f"{kind} in place of {use.file}: {answer!r:.200}")
        if kind != "link to the same bytes" and not harmless and answer != truth:
            raise Wrong(f"{kind} in place of {use.file} was read")
        outcome = "right"
    if victim.read_bytes() != PRECIOUS or (folder / "nothing").exists():
        raise Wrong(f"{kind} in place of {use.file}: another file was written")
    return outcome
