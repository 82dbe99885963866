"""One flipped bit in any file that is read: it is found, or the answer is that of the sound file.

Files: stores, checkpoints (full, and a delta with its base), teacher scores, a graph of vectors, settings and finished
stages of a training run, points of a study.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from lateint.errors import InputError, LateintError
from lateint.indexing.build import build_store
from lateint.indexing.store import open_store
from lateint.loading.delta import save_delta
from lateint.loading.load import load_model
from lateint.ranking.ranker import Ranker
from lateint.retrieval.retriever import Retriever
from lateint.train.history import Step
from lateint.train.resume import StateKeeper, claim, keep_stage, restore_stage, saved_states
from lateint.train.scores import Scores
from lateint_eval.studies.folder import Folder
from tests.campaign.cases import Case, Draws, Figures, Wrong, run_cases
from tests.campaign.stores import scratch
from tests.support import engine
from tests.support.engine import QUERY
from tests.support.retrieving import RICH

CASES = 20_000
HELD = engine.DOCUMENTS[:12]
IDS = [document.id for document in HELD]
PAIRS = [(f"q{i}", f"d{i}") for i in range(60)]
SETTINGS = {"method": "mice", "seed": 0, "base": "bert", "steps": [2, 4], "rate": 0.01}
TEACHER = {"name": "one", "digest": "a" * 64}
POINT = {"codecs": "states=int8", "timing": {"total_ms": 1.25}, "results": {"toy": {"nDCG@10": {"mean": 0.4375}}}}


BASE = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class Subject:
    """A folder, and a call that answers from its files. `share`: parts of all cases; `skipped`: files that are left alone."""

    name: str
    call: Callable[[Path], object]
    share: int
    skipped: tuple[str, ...] = ()


@cache
def _rich() -> object:
    return engine.fresh_model(RICH)


def _store(folder: Path) -> object:
    with open_store(folder) as store:
        found = store.get(IDS)
        arrays = [(name, array.tobytes()) for entry in found for name, array in entry.items()]
        return arrays, list(store.ids()), Ranker(_rich(), store).rank(QUERY, IDS).hits


def _load(folder: Path) -> object:
    return Ranker(load_model(folder)).logits([(QUERY, document.text) for document in HELD[:3]]).tolist()


def _delta(folder: Path) -> object:
    return _load(folder / "delta")


def _scores(folder: Path) -> object:
    """Scores; one that is not found is computed again, so it counts as right."""
    with Scores(folder / "scores", TEACHER) as scores:
        return [number if score is None else score for number, score in enumerate(scores.get(PAIRS))]


def _graph(folder: Path) -> object:
    with open_store(folder / "store") as store:
        return Retriever(_rich(), store, "hnsw", index_file=folder / "graph").retrieve(QUERY, 5).hits


def _settings(folder: Path) -> object:
    return claim(folder, SETTINGS)


def _stage(folder: Path) -> object:
    model = engine.fresh_model("mores")
    steps = restore_stage(model, folder, 0)
    return steps, [tensor.numpy().tobytes() for tensor in model.state_dict().values()]


def _state(folder: Path) -> object:
    """The files of the saved state that a run resumes from; without one it starts over, which ends the same."""
    whole = next(saved_states(folder), None)
    if whole is None:
        raise InputError("no whole state")
    return [(file.name, file.read_bytes()) for file in sorted(whole.iterdir()) if file.name != "complete"]


def _point(folder: Path) -> object:
    return Folder(folder).read(Folder(folder).point("p"))


SUBJECTS = (
    Subject("store", _store, 20, ("lock.mdb", "writer.lock")),
    Subject("sealed", _store, 10, ("writer.lock",)),
    Subject("model", _load, 15),
    Subject("delta", _delta, 20, BASE),
    Subject("delta", _delta, 1, ("lateint.json", "lateint.safetensors")),  # its base
    Subject("scores", _scores, 20, ("scores-lock",)),
    Subject("graph", _graph, 5, ("lock.mdb", "writer.lock", "manifest.json", "data.mdb")),
    Subject("settings", _settings, 10, ("begun",)),
    Subject("stage", _stage, 3),
    Subject("state", _state, 5),
    Subject("point", _point, 6),
)


def run(draws: Draws, n: int) -> Figures:
    """Flip n bits."""
    with scratch(fast=True) as folder:
        _make(folder)
        return run_cases(draws, n, partial(_start, folder))


def _make(folder: Path) -> None:
    """Write what all subjects read."""
    model = _rich()
    for name in ("store", "sealed", "graph/store"):
        with build_store(model, HELD, folder / name) as store:
            if name == "sealed":
                store.seal()
    _graph(folder / "graph")
    shaken = engine.shaken("mores")
    shaken.save_pretrained(folder / "model")
    (folder / "delta").mkdir()
    base = folder / "delta" / "base"
    shutil.copytree(engine.tiny.checkpoint("bert"), base)
    save_delta(load_model(base, "mice", **engine.LENGTHS), folder / "delta" / "delta", str(base))
    (folder / "scores").mkdir()
    with Scores(folder / "scores" / "scores", TEACHER) as scores:
        scores.put(PAIRS, [float(number) for number in range(len(PAIRS))])
    claim(folder / "settings", SETTINGS)
    (folder / "settings" / "begun").mkdir()
    keep_stage(shaken, folder / "stage", 0, [Step(step=0, total=0.5, losses={"listwise": 0.5}, seconds=1.0)])
    state = folder / "state" / "checkpoint-2"
    state.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "trainer_state.json"):
        (state / name).write_bytes(np.random.default_rng(len(name)).bytes(2_000))
    arguments = SimpleNamespace(output_dir=str(state.parent))
    StateKeeper().on_save(arguments, SimpleNamespace(global_step=2), None)
    study = Folder(folder / "point")
    study.write(study.point("p"), POINT)


def _start(folder: Path) -> Case:
    """Copy all subjects: a fork that dies leaves a flipped bit in its own copy alone."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, ignore=lambda path, names: ["copy"] if Path(path) == folder else [])
    for path in copy.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    _relocate(copy / "delta")
    truths = {subject.name: subject.call(copy / subject.name) for subject in SUBJECTS}
    weights = np.array([subject.share for subject in SUBJECTS], float)

    def case(number: int, rng: np.random.Generator) -> str:
        subject = SUBJECTS[rng.choice(len(SUBJECTS), p=weights / weights.sum())]
        return f"{subject.name}: {_case(copy / subject.name, subject, truths[subject.name], rng)}"

    return case


def _relocate(delta: Path) -> None:
    """Make a delta name the base beside it in the copy."""
    from lateint.model.digests import digest_json

    file = delta / "delta" / "lateint.json"
    data = json.loads(file.read_text())
    data["base"]["name"] = str(delta / "base")
    data.pop("digest")
    file.write_text(json.dumps(data | {"digest": digest_json(data)}))


def _case(folder: Path, subject: Subject, truth: object, rng: np.random.Generator) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in subject.skipped)
    sizes = np.sqrt([path.stat().st_size for path in files])  # large files more often, but not by size: they are alike inside
    file = files[rng.choice(len(files), p=sizes / sizes.sum())]
    sound = file.read_bytes()
    place, bit = int(rng.integers(len(sound))), int(rng.integers(8))
    data = bytearray(sound)
    data[place] ^= 1 << bit
    file.write_bytes(data)
    try:
        answer = subject.call(folder)
    except LateintError:
        return "found"
    finally:
        file.write_bytes(sound)
    if answer != truth:
        raise Wrong(f"bit {bit} of byte {place} of {file.relative_to(folder)} in {subject.name}")
    return "right"
