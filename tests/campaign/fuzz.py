"""Odd values in `manifest.json` and `lateint.json` under digests that are right: typed errors alone."""

from __future__ import annotations

import copy
import json
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lateint.errors import LateintError
from lateint.indexing.store import open_store
from lateint.loading.load import load_model
from lateint.model.digests import digest_json
from lateint.ranking.ranker import Ranker
from lateint_store import verify_store
from lateint_store.format.manifest import MANIFEST_FILE, _canonical, _digest
from tests.campaign.cases import Case, Draws, Figures, run_cases
from tests.campaign.stores import scratch
from tests.support import engine
from tests.support.encoders import read_once
from tests.support.odd_values import changed, places

CASES = 5_000
ODD: list[Any] = [
    None, True, False, -1, 0, 1, 2, 7, 1 << 31, 1 << 63, 1 << 80, 1.5, -0.5, 1e300, "", "../x", "\0", "/", "a" * 300, "0",
    "int8", "float32", "é\u202e", [], [0, 2, 3], [None], [[]], {}, {"a": 1}, {"name": "cast"}, ["x"] * 40,
]  # fmt: skip


def run(draws: Draws, n: int) -> Figures:
    """Run n cases: manifests in even ones, checkpoints in odd ones."""
    with scratch(fast=True) as folder:
        engine.store(folder, documents=engine.DOCUMENTS[:6], codecs=None).close()
        engine.fresh_model("mores").save_pretrained(folder / "model")
        return run_cases(draws, n, partial(_start, folder))


def _start(folder: Path) -> Case:
    manifest = json.loads((folder / "store" / MANIFEST_FILE).read_text())
    config = json.loads((folder / "model" / "lateint.json").read_text())

    def case(number: int, rng: np.random.Generator) -> str:
        return _manifest(folder, manifest, rng) if number % 2 == 0 else _checkpoint(folder, config, rng)

    return case


def mutated(data: Any, rng: np.random.Generator) -> Any:
    """Nested JSON with one to three changes."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        every = list(places(data))
        if not every:
            break
        path = every[rng.integers(len(every))]
        data = _changed(data, path, rng)
    return data


def _changed(data: Any, path: tuple[Any, ...], rng: np.random.Generator) -> Any:
    inside = copy.deepcopy(data)
    at = inside
    for key in path[:-1]:
        at = at[key]
    value, kind = at[path[-1]], rng.integers(6)
    if kind == 0:
        del at[path[-1]]
    elif kind == 1 and isinstance(at, dict):
        at[str(rng.choice(["x", "", "name", "width", "digest "]))] = value
    elif kind == 2 and isinstance(at, list):
        at.extend([copy.deepcopy(value)] * int(rng.integers(1, 5)))
    elif kind == 3 and isinstance(value, int | float):
        at[path[-1]] = value + int(rng.choice([-1, 1, 8, 1 << 20]))
    elif kind == 3 and isinstance(value, str) and value:
        place = int(rng.integers(len(value)))
        at[path[-1]] = value[:place] + chr(int(rng.integers(1, 300))) + value[place + 1 :]
    else:
        return changed(data, path, ODD[rng.integers(len(ODD))])
    return inside


def _manifest(folder: Path, sound: Any, rng: np.random.Generator) -> str:
    """Read, rank, verify and write a store under another manifest."""
    path = folder / "mutant"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(folder / "store", path)
    data = mutated({key: value for key, value in sound.items() if key != "digest"}, rng)
    (path / MANIFEST_FILE).write_text(_canonical(data | {"digest": _digest(data)}))
    outcome = "opened"
    try:
        with open_store(path) as store:
            store.info(), list(store.ids()), store.get(["d03"]), store.content_digest()
            Ranker(engine.model(), store).rank(engine.QUERY, engine.IDS[:6])
    except LateintError as error:
        outcome = type(error).__name__
    with suppress(LateintError):
        verify_store(path)
    with suppress(LateintError), open_store(path, write=True) as store:
        store.delete(["d03"])
        store.add(engine.DOCUMENTS[6:8], engine.model())
        store.compact()
    return outcome


def _checkpoint(folder: Path, sound: Any, rng: np.random.Generator) -> str:
    """Load a checkpoint under another description, and score with it."""
    path = folder / "model"
    data = mutated({key: value for key, value in sound.items() if key != "digest"}, rng)
    (path / "lateint.json").write_text(json.dumps(data | {"digest": digest_json(data)}))
    with read_once():
        model = load_model(path)
    Ranker(model).logits([(engine.QUERY, document.text) for document in engine.DOCUMENTS[:2]])
    return "opened"
