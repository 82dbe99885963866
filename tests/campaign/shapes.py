"""Stores whose arrays a model would not write, under sound checksums: refused by a typed error, or ranked alike by all code.

Each store is ranked by numpy's code and by the kernels, which must agree. `run_checked` compiles the kernels with numba's
checks of bounds, so that an access outside of a buffer raises IndexError.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from lateint.errors import LateintError
from lateint.loading.load import load_model
from lateint.model.model import Model
from lateint.ranking.ranker import Ranker
from lateint.results import Ranking
from lateint.retrieval.retriever import Retriever
from lateint.testing import tiny
from lateint_store import Store
from lateint_store.kernels import compiled, dispatch
from tests.campaign.cases import Case, Draws, Figures, Wrong, run_cases
from tests.campaign.stores import scratch
from tests.support import mutants
from tests.support.encoders import read_once
from tests.support.engine import LENGTHS, QUERY

CASES = 2_000
METHODS = (mutants.WORDS, "mice", "cross_encoder", "colbert", "cosine", "prettr", "sdr")
Outcome = str | dict[str, float]  # the name of an error, or scores by id
TOLERANCE = 1e-4  # of the largest score: sums in another order


def run(draws: Draws, n: int) -> Figures:
    """Rank n mutants by numpy's code and by kernels as they are compiled for use."""
    return _run(draws, n, checked=False)


def run_checked(draws: Draws, n: int) -> Figures:
    """Rank n mutants by kernels that check every index. Compiles each kernel once a fork, without its cache."""
    return _run(draws, n, checked=True)


def _run(draws: Draws, n: int, *, checked: bool) -> Figures:
    with scratch(fast=True) as folder:
        return run_cases(draws, n, partial(_start, folder, checked), limit_s=300 if checked else 60)


@cache
def model(method: object) -> Model:
    """A tiny model of a method."""
    with read_once():
        return load_model(tiny.checkpoint("bert"), method, **LENGTHS)


def _start(folder: Path, checked: bool) -> Case:
    if checked:
        check_bounds()
    return partial(_case, folder)


def check_bounds() -> None:
    """Compile kernels anew in this process, without their cache and with checks of every index."""
    from numba import config

    config.BOUNDSCHECK = 1
    compiled.compiled.cache_clear()
    patch("lateint_store.kernels.disk_cache.keep_on_disk", lambda function: None).start()


def _case(folder: Path, number: int, rng: np.random.Generator) -> str:
    made, path = model(METHODS[number % len(METHODS)]), folder / "mutant"
    store = None
    while store is None:
        shutil.rmtree(path, ignore_errors=True)
        store = mutants.mutant(path, made, rng)
    with store:
        with kernels(False):
            reference = _outcome(made, store)
        with kernels(True):
            found = _outcome(made, store)
    for one, other in zip(reference, found, strict=True):
        if not _agree(one, other):
            raise Wrong(f"{made.method.name}: numpy gives {one}, kernels give {other}")
    ranked = sum(not isinstance(one, str) for one in found)
    return f"ranked: {ranked} calls" if ranked else str(found[0])


@contextmanager
def kernels(used: bool) -> Iterator[None]:
    """Run every dispatched function by its kernel, or by its reference."""
    with patch.object(dispatch, "MISSED", dispatch.Missed(dispatch.LOADING if used else -1e18, True)):
        yield


def _outcome(made: Model, store: Store) -> list[Outcome]:
    """What every way to rank a store gives: all documents, each alone, the nearest vectors."""
    try:
        ranker = Ranker(made, store)
    except LateintError as error:
        return [type(error).__name__]
    calls = [partial(ranker.rank, QUERY, ids) for ids in (mutants.IDS, *([doc_id] for doc_id in mutants.IDS))]
    if "vector" in made.arrays:
        calls.append(lambda: Retriever(made, store).retrieve(QUERY, 3))
    return [_hits(call) for call in calls]


def _hits(call: Callable[[], Ranking]) -> Outcome:
    try:
        return {hit.doc_id: hit.score for hit in call()}
    except LateintError as error:
        return type(error).__name__


def _agree(left: Outcome, right: Outcome) -> bool:
    """True if two outcomes have equal documents, and finite scores that are equal but for rounding."""
    if isinstance(left, str) or isinstance(right, str):
        return left == right
    scores = [*left.values(), *right.values()]
    if left.keys() != right.keys() or not np.isfinite(scores).all():
        return False
    return max(abs(left[key] - right[key]) for key in left) <= TOLERANCE * max(1.0, *map(abs, scores))
