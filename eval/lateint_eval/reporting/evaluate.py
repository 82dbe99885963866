"""Evaluation of one checkpoint on one set: the cached model, and the same model without its lossy codecs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lateint_eval.formats.records import Json
from lateint_eval.measures.significance import compare, interval
from lateint_eval.reporting.reference import Reference, per_query, run
from lateint_eval.reporting.sets import MAIN, EvaluationTask
from lateint_eval.systems import Outcome, cached

if TYPE_CHECKING:
    from lateint.indexing.store import Store
    from lateint.model.model import Model

_KEEP_RANKINGS = frozenset({"cast", "zstd", "pack"})  # codecs that lose nothing, or only the last digits of a float


def evaluate_task(model: Model, task: EvaluationTask, given: Reference) -> Json:
    """Evaluate a model on a set.

    Returns: as JSON, means, 95 % intervals, and paired differences from BM25, the base cosine and the model without codecs.
    Cost: encodes every candidate once, and every query once per system: one system, two if the model has lossy codecs.
    """
    corpus = task.corpus()
    twins = {"cached": model} | ({"full": model.without_codecs()} if has_lossy_codecs(model) else {})
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        stores = {name: opened.enter_context(store) for name, store in _stores(twins, task, Path(folder)).items()}
        outcomes = {name: run(replace(cached(twins[name], store), name=name), task) for name, store in stores.items()}
    return {
        "set": task.name,
        "queries": len(task.split.queries),
        "documents": len(corpus),
        "test": task.test,
        "measures": list(task.measures),
        "systems": _systems(outcomes, task, given),
    }


def has_lossy_codecs(model: Model) -> bool:
    """Return True if stored arrays differ from the model's arrays by more than the last digits of a float."""
    return any(step.name not in _KEEP_RANKINGS for _, steps in model.method.codecs for step in steps)


def _stores(twins: Mapping[str, Model], task: EvaluationTask, folder: Path) -> dict[str, Store]:
    """Encode the corpus once and store it for each twin; the twins differ only in their codecs."""
    from lateint.indexing.build import WINDOW
    from lateint.indexing.codecs import pipelines
    from lateint.indexing.compatibility import describe
    from lateint.indexing.encoding import encode_window
    from lateint.indexing.store import Store
    from lateint_store import create_store

    corpus = task.corpus()
    stores = {name: create_store(folder / name, pipelines(twin), kind=Store, **describe(twin)) for name, twin in twins.items()}
    for start in range(0, len(corpus), WINDOW):
        window = encode_window(twins["cached"], corpus[start : start + WINDOW], start)
        for store in stores.values():
            store.append(window.entries, source_end=start + len(window.entries), source_digest="")
    return stores


def _systems(outcomes: Mapping[str, Outcome], task: EvaluationTask, given: Reference) -> dict[str, Json]:
    rows: dict[str, Json] = {
        name: {measure: given.mean(name, measure) for measure in task.measures} for name in ("bm25", "cosine")
    }
    rows["cosine"]["bytes_per_document"] = given.bytes_per_document
    values = {name: per_query(outcome) for name, outcome in outcomes.items()}
    for name, outcome in outcomes.items():
        rows[name] = {measure: outcome.evaluation.scores[measure].mean for measure in task.measures}
        rows[name] |= {"ms_p50": outcome.percentile(0.5), "bytes_per_document": outcome.system.bytes_per_document}
    ours = values["cached"]
    rows["cached"]["intervals"] = {measure: list(interval(ours[measure])) for measure in task.measures}
    rows["cached"]["per_query"] = {q: round(value, 6) for q, value in ours[MAIN].items()}
    for other in ("bm25", "cosine", "full"):
        theirs = values[other][MAIN] if other in values else given.scores.get(other, {}).get(MAIN)
        if theirs is not None:
            found = compare(ours[MAIN], theirs)
            rows["cached"][f"minus_{other}"] = [found.difference, found.low, found.high]
    return rows
