"""Another store takes the place of an open one, at rest or in the middle of calls: it is refused, or followed by its uuid.

A case opens a ranker, a retriever, a cascade and often a writer over one path, and changes what is there. Right are the
answers of the store that was opened, as it is after the changes of its own writer, and StoreMismatch and its kin while
another store is there.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lateint.indexing.build import build_store
from lateint.indexing.store import Store, open_store
from lateint.methods.registry import part
from lateint.ranking.cascade import Cascade
from lateint.ranking.ranker import Ranker
from lateint.results import Hit
from lateint.retrieval.retriever import Retriever
from lateint_store import parse_codecs, recode
from lateint_store.errors import DamagedStore, LateintError, StoreError, StoreMismatch, StoreNotFound
from tests.campaign.cases import Case, Draws, Figures, Wrong, run_cases
from tests.campaign.stores import scratch
from tests.support import engine
from tests.support.engine import QUERY
from tests.support.retrieving import RICH

CASES = 1_000
HELD, SPARE = engine.DOCUMENTS[:12], engine.DOCUMENTS[12:16]
IDS = [document.id for document in HELD]
OTHERS = ("rebuilt", "recoded", "coarser", "sealed", "partial")
OWN = ("add", "delete", "compact", "seal")
Hits = tuple[Hit, ...]


def run(draws: Draws, n: int) -> Figures:
    """Run n swaps."""
    with scratch(fast=True) as folder:
        model = engine.fresh_model(RICH)
        _make(folder, model)
        return run_cases(draws, n, partial(_start, folder, model))


def _make(folder: Path, model: object) -> None:
    """Build the store of all cases, and the stores that take its place: all take the same ids and the same model."""
    codecs = {"vector": (part("int8"),)}
    build_store(model, HELD, folder / "own", codecs=codecs).close()
    build_store(model, HELD[::-1], folder / "rebuilt", codecs=codecs).close()
    swapped = [engine.Document(one.id, other.text) for one, other in zip(HELD, HELD[1:] + HELD[:1], strict=True)]
    build_store(model, swapped, folder / "partial", codecs=codecs).close()
    recode(folder / "own", folder / "recoded", parse_codecs("vector=int8"))[0].close()
    recode(folder / "own", folder / "coarser", parse_codecs("vector=int4"))[0].close()
    with build_store(model, swapped, folder / "sealed", codecs=codecs) as store:
        store.seal()


def _start(folder: Path, model: object) -> Case:
    return partial(_case, folder, model)


@dataclass
class Held:
    """What is open over a path, and what its calls may answer."""

    path: Path
    reader: Store
    calls: dict[str, Callable[[], Hits]]
    before: dict[str, Hits]


def _opened(path: Path, model: object, stack: ExitStack) -> Held:
    """Open everything over a path."""
    reader = stack.enter_context(open_store(path))
    ranker, retriever = Ranker(model, reader), Retriever(model, reader)
    cascade = Cascade(ranker, (ranker, 4))
    calls: dict[str, Callable[[], Hits]] = {
        "rank": lambda: ranker.rank(QUERY, IDS, missing="skip").hits,
        "ladder": lambda: ranker.rank(QUERY, IDS, missing="skip", ladder="cosine:5").hits,
        "cascade": lambda: cascade.rank(QUERY, IDS, missing="skip").hits,
        "retrieve": lambda: retriever.retrieve(QUERY, 5).hits,
    }
    return Held(path, reader, calls, {name: call() for name, call in calls.items()})


def _case(folder: Path, model: object, number: int, rng: np.random.Generator) -> str:
    path = folder / "at"
    for old in (path, folder / "away"):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(folder / "own", path)
    with ExitStack() as stack:
        held = _opened(path, model, stack)
        kind = rng.choice(["other", "other", "gone", "own", "during"])
        if kind == "own":
            return _followed(held, model, rng)
        with suppress(StoreError):
            writer = stack.enter_context(open_store(path, write=True)) if rng.random() < 0.6 else None
        how = partial(_swap, folder, path, rng.choice(OTHERS) if kind != "gone" else None, bool(rng.random() < 0.5))
        return _during(held, how, rng) if kind == "during" else _refused(folder, held, writer, model, how)


def _swap(folder: Path, path: Path, name: str | None, copies_over: bool) -> None:
    """Put another store at the path: by renaming both, or by removing and copying, as `rm -rf` and `cp -r` do."""
    if copies_over or name is None:
        shutil.rmtree(path)
        if name is not None:
            shutil.copytree(folder / name, path)
        return
    shutil.copytree(folder / name, folder / "next")
    path.rename(folder / "away")
    (folder / "next").rename(path)


def _refused(folder: Path, held: Held, writer: Store | None, model: object, swap: Callable[[], None]) -> str:
    """Swap, then call everything: each call refuses; then the other store is what it was."""
    swap()
    kinds = set()
    for name, call in held.calls.items():
        if name == "retrieve" and not held.path.exists():  # its vectors are in memory
            if call() != held.before[name]:
                raise Wrong("the vectors in memory changed")
            continue
        kinds.add(_expect_refusal(name, call))
    changes = {
        "delete": lambda store: store.delete(IDS[:1]),
        "add": lambda store: store.add(SPARE[:1], model),
        "compact": lambda store: store.compact(),
        "seal": lambda store: store.seal(),
    }
    for name, change in changes.items() if writer is not None else ():
        kinds.add(_expect_refusal(name, partial(change, writer)))
    if held.path.exists():
        with open_store(held.path) as store:
            if len(store) != len(HELD) or not store.verify().ok:
                raise Wrong("the store that took the place was changed")
    return min(kinds)


def _expect_refusal(name: str, call: Callable[[], object]) -> str:
    try:
        answer = call()
    except (StoreMismatch, StoreNotFound) as error:
        return type(error).__name__
    raise Wrong(f"{name} answered {answer!r} though another store is there")


def _followed(held: Held, model: object, rng: np.random.Generator) -> str:
    """Let the store's own writer change it: readers answer like one that is opened now."""
    for verb in rng.choice(OWN, rng.integers(1, 4)):
        with suppress(StoreError), open_store(held.path, write=True) as writer:
            _change(writer, verb, model, rng)
    with ExitStack() as stack:
        now = _opened(held.path, model, stack)
        for name in ("rank", "ladder", "cascade"):
            if held.calls[name]() != now.before[name]:
                raise Wrong(f"{name} does not follow the writer")
    if held.calls["retrieve"]() != held.before["retrieve"]:
        raise Wrong("the vectors in memory changed")
    return "followed"


def _change(writer: Store, verb: str, model: object, rng: np.random.Generator) -> None:
    if verb == "add":
        new = [document for document in SPARE if document.id not in writer]
        writer.add(new[:2], model)
    elif verb == "delete":
        writer.delete(rng.choice(sorted(writer.ids()), 1).tolist())
    else:
        getattr(writer, verb)()


def _during(held: Held, swap: Callable[[], None], rng: np.random.Generator) -> str:
    """Swap in another thread while calls run: each call answers from the store that was opened, or refuses."""
    delay = rng.uniform(0, 0.02)
    thread = threading.Thread(target=lambda: (time.sleep(delay), swap()))
    thread.start()
    refused = 0
    while refused < len(held.calls):
        alive = thread.is_alive()
        for name, call in held.calls.items():
            try:
                if call() != held.before[name]:
                    raise Wrong(f"{name} answered from neither store while they were swapped")
            except (StoreMismatch, StoreNotFound):
                refused += 1
            except DamagedStore as error:
                if os.path.exists(held.path / "manifest.json") and not alive:
                    raise Wrong(f"{name} reports damage of a sound store: {error}") from error
                refused += 1
            except LateintError as error:
                raise Wrong(f"{name}: {type(error).__name__}: {error}") from error
            else:
                if not alive:
                    raise Wrong(f"{name} answered after another store took the place")
    thread.join()
    return "during"
