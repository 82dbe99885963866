"""Every public call with one argument of another kind: a typed error that names the argument or its value, or an answer.

A value that happens to be of the right kind is answered, and so is one that numpy or Python take for it (a numpy integer
for a count). Anything but a typed error is a failure; so is one that says neither the argument nor the value.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import lateint
import lateint_store
from lateint.errors import InputError, LateintError
from tests.campaign.cases import Case, Draws, Figures, Untyped, Wrong, run_cases
from tests.campaign.stores import scratch
from tests.support import engine
from tests.support.encoders import read_once
from tests.support.engine import IDS, QUERY
from tests.support.retrieving import RICH
from tests.support.stores import ABOUT, entries, specs

HELD = engine.DOCUMENTS[:8]
PAIRS = [(QUERY, document.text) for document in HELD[:2]]


class Odd:
    """An object of a class that nothing expects."""

    def __repr__(self) -> str:
        return "<Odd>"


VALUES: dict[str, Callable[[], Any]] = {
    "None": lambda: None, "True": lambda: True, "0": lambda: 0, "-1": lambda: -1, "7": lambda: 7, "1 << 70": lambda: 1 << 70,
    "1.5": lambda: 1.5, "nan": lambda: float("nan"), "inf": lambda: float("inf"), "'x'": lambda: "x", "''": lambda: "",
    "long": lambda: "a" * 300, "NUL": lambda: "a\0b", "surrogate": lambda: "\ud800", "bytes": lambda: b"d01",
    "[]": lambda: [], "[None]": lambda: [None], "[nan]": lambda: [float("nan")], "[7]": lambda: [7], "['x']": lambda: ["x"],
    "[[]]": lambda: [[]], "{}": dict, "{'a': 1}": lambda: {"a": 1}, "(1, 2)": lambda: (1, 2), "set": lambda: {"d01"},
    "array": lambda: np.zeros((2, 2)), "type": lambda: str, "function": lambda: len, "object": Odd, "Ellipsis": lambda: ...,
    "generator": lambda: (value for value in (1, 2)), "Path": lambda: Path("no such"), "numpy int": lambda: np.int64(2),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """A public call with valid arguments; `make` returns the function, given what is open."""

    name: str
    make: Callable[[Open], Callable[..., Any]]
    arguments: Callable[[Open], Mapping[str, Any]]


@dataclass(slots=True)
class Open:
    """What calls work on. `store` and `bare` are writable."""

    folder: Path
    model: Any
    store: Any
    bare: Any
    ranker: Any
    retriever: Any
    cascade: Any


def _calls() -> Iterator[Call]:
    ranking = {"query": QUERY, "doc_ids": IDS[:4], "top_k": 3, "missing": "error", "ladder": "cosine:3"}
    for name in ("ranker", "cascade"):
        yield Call(f"{name}.rank", lambda o, n=name: getattr(o, n).rank, lambda o: ranking)
        yield Call(
            f"{name}.rank documents",
            lambda o, n=name: getattr(o, n).rank,
            lambda o: {"query": QUERY, "doc_ids": [*IDS[:2], "d20"], "documents": engine.DOCUMENTS[20:21], "missing": "encode"},
        )
        yield Call(f"{name}.warm_up", lambda o, n=name: getattr(o, n).warm_up, lambda o: {"query": QUERY, "doc_ids": IDS[:3]})
    yield Call("Ranker.logits", lambda o: o.ranker.logits, lambda o: {"pairs": PAIRS})
    yield Call(
        "Ranker.predict",
        lambda o: o.ranker.predict,
        lambda o: {"pairs": PAIRS, "activation_fn": None, "batch_size": 8, "show_progress_bar": False},
    )
    texts = [text for _, text in PAIRS]
    yield Call(
        "Ranker.rank_texts",
        lambda o: o.ranker.rank_texts,
        lambda o: {"query": QUERY, "texts": texts, "top_k": 2, "batch_size": 4},
    )
    yield Call("Ranker", lambda o: lateint.Ranker, lambda o: {"model": o.model, "store": o.store})
    yield Call(
        "Ranker chunks", lambda o: lateint.Ranker, lambda o: {"model": o.model, "chunks": engine.CHUNKS, "aggregate": "max"}
    )
    yield Call("Retriever", lambda o: lateint.Retriever, lambda o: {"model": o.model, "store": o.store, "index": "exact"})
    yield Call("Retriever.retrieve", lambda o: o.retriever.retrieve, lambda o: {"query": QUERY, "k": 3})
    yield Call(
        "Retriever.retrieve_many",
        lambda o: lambda **a: list(o.retriever.retrieve_many(**a)),
        lambda o: {"queries": [QUERY], "k": 3},
    )
    yield from _folder_calls()
    yield from _store_calls()
    yield from _values()


def _folder_calls() -> Iterator[Call]:
    """Calls that take the path of a folder."""

    def fresh(o: Open) -> Path:
        shutil.rmtree(o.folder / "new", ignore_errors=True)
        return o.folder / "new"

    yield Call(
        "build_store",
        lambda o: lateint.build_store,
        lambda o: {
            "model": o.model, "documents": HELD[:2], "path": fresh(o), "codecs": None, "progress": None, "chunks": None,
            "shard": None, "window": 4, "map_size": 1 << 26,
        },
    )  # fmt: skip
    yield Call("open_store", lambda o: lateint.open_store, lambda o: {"path": o.folder / "still", "write": False})
    yield Call("lateint_store.open_store", lambda o: lateint_store.open_store, lambda o: {"path": o.folder / "still"})
    yield Call("verify_store", lambda o: lateint_store.verify_store, lambda o: {"path": o.folder / "still"})
    yield Call(
        "create_store",
        lambda o: lateint_store.create_store,
        lambda o: {"path": fresh(o), "specs": specs(), **ABOUT, "window": 8, "shard": (0, 2), "documents_per_shard": 8},
    )
    yield Call("merge", lambda o: lateint_store.merge, lambda o: {"paths": [o.folder / "shard"], "out": fresh(o)})
    yield Call(
        "recode",
        lambda o: lateint_store.recode,
        lambda o: {
            "source": o.folder / "plain",
            "out": fresh(o),
            "codecs": lateint_store.parse_codecs("vector=int4"),
            "finer": False,
        },
    )
    yield Call("Model.save_pretrained", lambda o: o.model.save_pretrained, lambda o: {"folder": fresh(o)})


def _store_calls() -> Iterator[Call]:
    """Methods of an open store, and loading."""
    for name in ("get", "rows", "held", "sizes"):
        yield Call(f"Store.{name}", lambda o, n=name: getattr(o.store, n), lambda o: {"ids": IDS[:2]})
    yield Call("Store.delete", lambda o: o.store.delete, lambda o: {"ids": []})
    yield Call("Store.first_id", lambda o: o.store.first_id, lambda o: {"doc_id": IDS[0]})
    yield Call("Store.fetch", lambda o: o.store.fetch, lambda o: {"ids": IDS[:2], "arrays": ["vector"], "missing": "error"})
    yield Call("Store.scan", lambda o: lambda **a: list(o.store.scan(**a)), lambda o: {"arrays": ["vector"], "stable": False})
    yield Call("Store.decode", lambda o: o.store.decode, lambda o: {"fetched": o.store.fetch(IDS[:2], ["vector"]), "coded": ()})
    yield Call(
        "Store.add",
        lambda o: o.store.add,
        lambda o: {"documents": engine.DOCUMENTS[next(FRESH) % 8 + 30 :][:1], "model": o.model},
    )
    yield Call("Store.add entries", lambda o: o.bare.add, lambda o: {"entries": entries([next(FRESH)])})
    yield Call(
        "Store.append",
        lambda o: o.bare.append,
        lambda o: {"entries": entries([next(FRESH)]), "source_end": o.bare.progress.source_position, "source_digest": "x"},
    )
    yield Call(
        "load_model",
        lambda o: lateint.load_model,
        lambda o: {
            "name_or_path": engine.tiny.checkpoint("bert"), "method": "prettr", "offline_layers": 2, "device": None,
            "query_max_length": 16, "doc_max_length": 32, "compressor": None, "dtype": "float32", "threads": 1,
        },
    )  # fmt: skip


def _values() -> Iterator[Call]:
    """Values that describe methods, stores and arrays."""
    yield Call(
        "Cascade",
        lambda o: lambda first, step: lateint.Cascade(first, step),
        lambda o: {"first": o.ranker, "step": (o.ranker, 3)},
    )
    yield Call("Chunks", lambda o: lateint.Chunks, lambda o: {"length": 20, "overlap": 5, "limit": None})
    yield Call("Chunks.parse", lambda o: lateint.Chunks.parse, lambda o: {"text": "20/5"})
    yield Call("preset", lambda o: lateint.preset, lambda o: {"name": "prettr"})
    yield Call("part", lambda o: lateint.part, lambda o: {"name": "int8"})
    yield Call("parse_codecs", lambda o: lateint_store.parse_codecs, lambda o: {"text": "vector=int4"})
    yield Call("ArraySpec", lambda o: lateint_store.ArraySpec, lambda o: {"dtype": "float32", "width": 8, "rows": "tokens"})
    yield Call(
        "Pipeline",
        lambda o: lateint_store.Pipeline,
        lambda o: {"spec": lateint_store.ArraySpec("float32", 8), "parts": (lateint.part("int8"),)},
    )
    yield Call(
        "format_codecs", lambda o: lateint_store.format_codecs, lambda o: {"codecs": {"vector": (lateint.part("int8"),)}}
    )
    yield Call(
        "Layout",
        lambda o: lateint.Layout,
        lambda o: {"template": "alone", "positions": "restart", "max_length": 32, "segment": None, "marker": "", "fill": ""},
    )


FRESH = itertools.count(1_000)  # numbers of entries that no store holds
CALLS = list(_calls())
SAID = {
    "name_or_path": "model|name", "doc_ids": "document|candidates", "ids": "document", "documents": "document|entr",
    "entries": "entr", "arrays": "array", "queries": "query", "query": "text 0", "query_max_length": "max_length",
    "doc_max_length": "document", "offline_layers": "layers", "folder": "path", "specs": "array", "paths": "store|path is",
    "text": "codecs", "first": "cascade", "step": "cascade",
}  # fmt: skip
"""How messages say an argument otherwise than by its name."""


def run(draws: Draws, n: int) -> Figures:
    """Run n cases of the grid, in random order."""
    with scratch(fast=True) as folder:
        return run_cases(draws, n, partial(_start, folder, draws))


CASES = 4_500


def _open(folder: Path) -> Open:
    """Build stores in an empty folder and open everything."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    model = engine.fresh_model(RICH)
    lateint.build_store(model, HELD, folder / "still").close()
    lateint_store.create_store(folder / "plain", specs(), **ABOUT).close()
    lateint_store.create_store(folder / "shard", specs(), **ABOUT, shard=(0, 1)).close()
    bare = lateint_store.create_store(folder / "bare", specs(), **ABOUT)
    store = lateint.build_store(model, HELD, folder / "store")
    ranker = lateint.Ranker(model, store)
    return Open(folder, model, store, bare, ranker, lateint.Retriever(model, store), lateint.Cascade(ranker, (ranker, 3)))


def _close(opened: Open) -> None:
    opened.store.close()
    opened.bare.close()


def _closed(answer: object) -> None:
    """Close a store that a call returned."""
    for one in answer if isinstance(answer, tuple) else (answer,):
        if isinstance(one, lateint_store.Store):
            one.close()


def _start(folder: Path, draws: Draws) -> Case:
    (folder / "here").mkdir(exist_ok=True)
    os.chdir(folder / "here")  # relative paths that are answered are made there
    state = {"open": _open(folder / "at")}
    opened = state["open"]
    for call in CALLS:
        with read_once():
            _closed(call.make(opened)(**call.arguments(opened)))
    grid = [(index, name, value) for index, call in enumerate(CALLS) for name in call.arguments(opened) for value in VALUES]
    order = np.random.default_rng(draws.seed).permutation(len(grid))

    def case(number: int, rng: np.random.Generator) -> str:
        if len(state["open"].store) != len(HELD):  # a call changed it, as it may
            _close(state["open"])
            state["open"] = _open(folder / "at")
        return _case(state["open"], *grid[order[number % len(grid)]])

    return case


def _case(opened: Open, index: int, name: str, value: str) -> str:
    call = CALLS[index]
    given = {**call.arguments(opened), name: VALUES[value]()}
    try:
        with read_once():
            answer = call.make(opened)(**given)
    except InputError as error:
        kind, message = "InputError", str(error)
    except LateintError as error:
        kind, message = type(error).__name__, str(error)
    except Exception as error:
        if name == "progress" and callable(given[name]):  # an error of the caller's own function
            return "answered"
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{where.filename.rpartition('/')[2]}:{where.lineno}"
        raise Untyped(f"{call.name}({name}={value}): {error!r} at {place}") from error
    else:
        _closed(answer)
        return "answered"
    shown = "|".join(re.escape(text[:20]) for text in (repr(given[name]), str(given[name])) if text)
    words = f"{name}|{SAID.get(name, name)}|{shown}"
    if not re.search(words, message, re.IGNORECASE):
        raise Wrong(f"{call.name}({name}={value}): {kind} does not name the argument: {message}")
    return kind
