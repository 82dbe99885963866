"""References on a set, computed once: BM25 as the first stage, and the base encoder's cosine."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lateint_eval.formats.output import replacing
from lateint_eval.reporting.sets import EvaluationTask
from lateint_eval.systems import Outcome, System, cached, measure

if TYPE_CHECKING:
    from lateint.model.model import Model

PerQuery = dict[str, float]


@dataclass(frozen=True, slots=True)
class Reference:
    """Values of BM25 and the base cosine for every query of a set: {system: {measure: {query: value}}}."""

    set: str
    set_digest: str
    base: str
    base_digest: str
    scores: dict[str, dict[str, PerQuery]]
    bytes_per_document: float  # in the store of base vectors

    def mean(self, system: str, measure: str) -> float:
        """Return the mean of a system over all queries."""
        values = self.scores[system][measure]
        return sum(values.values()) / len(values)


def reference(base: Model, task: EvaluationTask, kept: Path | None) -> Reference:
    """Return the reference of a set, from the folder `kept` if the same base was run on the same set before.

    Args: with `kept` None the reference is computed and not stored.
    """
    from lateint.model.digests import digest_tensors

    digests = {"set_digest": task.digest(), "base_digest": digest_tensors(base.state_dict())}
    if kept is None:
        return _compute(base, task, digests)
    file = kept / f"{task.name.replace(' ', '-')}-{digests['base_digest'][:8]}-{digests['set_digest'][:8]}.json"
    if not file.is_file():
        kept.mkdir(parents=True, exist_ok=True)
        with replacing(file) as write:
            write(json.dumps(asdict(_compute(base, task, digests)), indent=1) + "\n")
    return Reference(**json.loads(file.read_text(encoding="utf-8")))


def stored_means(kept: Path, base_digest: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return the stored means for a base, {set: {system: {measure: mean}}}; of several versions of a set, any one."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for file in sorted(kept.glob("*.json")):
        kept_one = Reference(**json.loads(file.read_text(encoding="utf-8")))
        if kept_one.base_digest == base_digest:
            means = {name: {key: kept_one.mean(name, key) for key in values} for name, values in kept_one.scores.items()}
            means["cosine"]["bytes_per_document"] = kept_one.bytes_per_document
            found[kept_one.set] = means
    return found


def _compute(base: Model, task: EvaluationTask, digests: dict[str, str]) -> Reference:
    from lateint.indexing.build import build_store

    split = task.split
    given = {split.queries[q]: list(zip(ids, split.scores[q], strict=True)) for q, ids in split.candidates.items()}
    with tempfile.TemporaryDirectory() as folder, build_store(base, task.corpus(), Path(folder) / "store") as store:
        bm25 = run(System("bm25", lambda text, _: given[text]), task)
        scores = {"bm25": per_query(bm25), "cosine": per_query(run(cached(base, store), task))}
        size = store.info()["bytes"] / len(store)
    return Reference(task.name, base=Path(base.name).name, scores=scores, bytes_per_document=size, **digests)


def run(system: System, task: EvaluationTask) -> Outcome:
    """Measure a system on the candidates of a set."""
    split = task.split
    return measure(system, split.queries, split.candidates, {q: split.qrels[q] for q in split.queries}, task.measures)


def per_query(outcome: Outcome) -> dict[str, PerQuery]:
    """Return {measure: {query: value}} of an outcome."""
    return {name: score.per_query for name, score in outcome.evaluation.scores.items()}
