"""Every field of `tokenizer.json` and `config.json` changed one at a time: a stored state never moves unnoticed.

A case changes one field of a checkpoint and loads it. Right are a typed error, another fingerprint, and states that are
equal to the last bit for texts that use the whole vocabulary, every length and many scripts. A case is wrong if states
differ and the store is taken.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lateint.errors import StoreMismatch
from lateint.indexing.build import build_store
from lateint.indexing.compatibility import check_model
from lateint.indexing.store import open_store
from lateint.loading.load import load_model
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.testing import tiny
from tests.campaign.cases import Case, Draws, Figures, Wrong, run_cases
from tests.campaign.stores import scratch
from tests.support.odd_values import changed, places

FAMILIES = tuple(tiny.FAMILIES)
FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")
OPTIONS = {"query_max_length": 16, "doc_max_length": 80, "offline_layers": 3}
TEXTS = [
    " ".join(tiny.WORDS),
    " ".join(tiny.WORDS[::-1]),
    *(" ".join(tiny.texts(n, seed=n)) for n in (1, 2, 5, 12)),
    "BREAD Oven éclair naïve ñ Å ﬁ ½ 中文 пиво שלום [CLS] [SEP] [MASK] [unused0] [PAD] bread[SEP]oven",
    "bread  oven\tyeast\nflour\u00a0water\u200bsalt\u0000 'engine' \"wheel\" don't e-mail http://a.b/c?d=1 3.14 $5 #x",
    "a" * 120 + " bread",
    "ＦＵＬＬ width ｂｒｅａｄ",
    "bread\r\noven ",
    "",
]
OTHERS: list[Any] = [None, True, False, 0, 1, 3, "other", [], {}, 0.5]


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one file, and its other value; `field` alone: it is removed."""

    family: str
    file: str
    path: tuple[Any, ...]
    value: Any
    removed: bool = False


def changes() -> list[Change]:
    """Every change: of each configuration, and of the tokenizers of two families, which differ in their template."""
    return [
        change
        for family in FAMILIES
        for file in (FILES if family in ("bert", "roberta") else FILES[:1])
        for change in _changes(family, file)
    ]


def _changes(family: str, file: str) -> Iterator[Change]:
    data = json.loads((tiny.checkpoint(family) / file).read_text())
    for path in places(data):
        value = data
        for key in path:
            value = value[key]
        if path[:2] == ("model", "vocab") and len(path) == 3:  # a word gets the number of the next one
            yield Change(family, file, path, value + 1)
            continue
        for other in _other_values(value):
            yield Change(family, file, path, other)
        yield Change(family, file, path, None, removed=True)


def _other_values(value: Any) -> Iterator[Any]:
    """Values that are near to one, and two of other types."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from {value + 1, 2 * value or 2, max(0, value - 1)} - {value}
    elif isinstance(value, float):
        yield from (value * 2 or 0.5, value * 1.001 or 1e-3)
    elif isinstance(value, str):
        yield from {"gelu": ("relu", "gelu_new"), "absolute": ("relative_key",)}.get(value, (value + "x", value[:-1], "oven"))
    elif isinstance(value, list):
        yield from (value[::-1], value[:-1], value + value[:1])
    elif isinstance(value, dict):
        yield dict(reversed(value.items()))
    yield from OTHERS[:2] if value is not None else OTHERS[2:7]


CASES = len(changes())


def run(draws: Draws, n: int) -> Figures:
    """Run n of all changes, in random order."""
    with scratch(fast=True) as folder:
        return run_cases(draws, n, partial(_start, folder, draws))


def _load(folder: Path) -> Model:
    return load_model(folder, "mice", **OPTIONS)


def _states(model: Model) -> list[np.ndarray]:
    tokens = model.document_tokens([Document(str(i), text) for i, text in enumerate(TEXTS)])
    return [entry["states"] for entry in model.encode(tokens)]


def _start(folder: Path, draws: Draws) -> Case:
    every = changes()
    order = np.random.default_rng(draws.seed).permutation(len(every))
    truth = {}

    def case(number: int, rng: np.random.Generator) -> str:
        change = every[order[number % len(every)]]
        if change.family not in truth:
            truth[change.family] = _prepared(folder, change.family)
        return _case(folder, change, truth[change.family])

    return case


def _prepared(folder: Path, family: str) -> list[np.ndarray]:
    """Copy the checkpoint of a family and build a store with it. Returns: its states."""
    for old in (folder / family, folder / f"{family}-store"):  # of a fork that a signal ended
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(tiny.checkpoint(family), folder / family)
    model = _load(folder / family)
    build_store(model, TEXTS[:3], folder / f"{family}-store").close()
    return _states(model)


def _case(folder: Path, change: Change, truth: list[np.ndarray]) -> str:
    file = folder / change.family / change.file
    sound = (tiny.checkpoint(change.family) / change.file).read_text()
    data = _removed(json.loads(sound), change.path) if change.removed else changed(json.loads(sound), change.path, change.value)
    file.write_text(json.dumps(data))
    try:
        model = _load(folder / change.family)
        with open_store(folder / f"{change.family}-store") as store:
            try:
                check_model(model, store)
            except StoreMismatch:
                return "noticed"
        found = _states(model)
    finally:
        file.write_text(sound)
    if len(found) != len(truth) or not all(np.array_equal(one, other) for one, other in zip(found, truth, strict=True)):
        raise Wrong(f"{change}: states differ under an equal fingerprint")
    return "no state moved"


def _removed(data: Any, path: tuple[Any, ...]) -> Any:
    inside = data
    for key in path[:-1]:
        inside = inside[key]
    del inside[path[-1]]
    return data
