"""References on a set, computed once: BM25 as the first stage, the base encoder's cosine, and published models."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lateint_eval.formats.output import replacing
from lateint_eval.reporting.sets import EvaluationTask
from lateint_eval.systems import Outcome, System, cached, measure

if TYPE_CHECKING:
    from lateint.model.model import Model

PerQuery = dict[str, float]
Scores = dict[str, dict[str, PerQuery]]  # {system: {measure: {query: value}}}


@dataclass(frozen=True, slots=True)
class Reference:
    """Values of systems that need the same weights, for every query of a set: of BM25 and the base cosine, or of one model.

    `base` and `base_digest` name these weights; BM25 has none. `date`: the day of the run, empty in older files.
    """

    set: str
    set_digest: str
    base: str
    base_digest: str
    scores: Scores
    bytes_per_document: float | None  # in the store of the model's vectors; None if it reads texts
    date: str = ""

    def mean(self, system: str, measure: str) -> float:
        """Return the mean of a system over all queries."""
        values = self.scores[system][measure]
        return sum(values.values()) / len(values)


def reference(base: Model, task: EvaluationTask, kept: Path | None) -> Reference:
    """Return BM25 and the base cosine on a set, from the folder `kept` if the same base was run on the same set before.

    Args: with `kept` None the reference is computed and not stored.
    """
    from lateint.model.digests import digest_tensors

    def compute() -> tuple[Scores, float]:
        split = task.split
        given = {split.queries[q]: list(zip(ids, split.scores[q], strict=True)) for q, ids in split.candidates.items()}
        bm25 = run(System("bm25", lambda text, _: given[text]), task)
        cosine, size = vectors(base, task)
        return {"bm25": per_query(bm25), "cosine": cosine}, size

    return kept_reference(task, Path(base.name).name, digest_tensors(base.state_dict()), compute, kept)


def kept_reference(
    task: EvaluationTask,
    name: str,
    digest: str,
    compute: Callable[[], tuple[Scores, float | None]],
    kept: Path | None,
    date: str = "",
) -> Reference:
    """Return the reference with the weights `digest` on a set, from the folder `kept`; `compute` runs if there is none.

    Args: `compute` returns scores, and the bytes per document of a store of vectors; `date` is stored with a new reference;
    with `kept` None the reference is computed and not stored.
    """
    set_digest = task.digest()

    def made() -> Reference:
        scores, size = compute()
        return Reference(task.name, set_digest, name, digest, scores, size, date)

    if kept is None:
        return made()
    file = kept / f"{task.name.replace(' ', '-')}-{digest[:8]}-{set_digest[:8]}.json"
    if not file.is_file():
        kept.mkdir(parents=True, exist_ok=True)
        with replacing(file) as write:
            write(json.dumps(asdict(made()), indent=1) + "\n")
    return _read(file)


def stored_references(kept: Path, *digests: str) -> list[Reference]:
    """Return the stored references with weights of these digests."""
    found = [_read(file) for file in sorted(kept.glob("*.json"))]
    return [each for each in found if each.base_digest in digests]


def stored_means(kept: Path, *digests: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return the stored means for these weights, {set: {system: {measure: mean}}}; of several versions of a set, any one."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for each in stored_references(kept, *digests):
        means = {name: {key: each.mean(name, key) for key in values} for name, values in each.scores.items()}
        for name in means.keys() - {"bm25"}:
            if each.bytes_per_document is not None:
                means[name]["bytes_per_document"] = each.bytes_per_document
        found[each.set] = found.get(each.set, {}) | means
    return found


def _read(file: Path) -> Reference:
    return Reference(**json.loads(file.read_text(encoding="utf-8")))


def vectors(model: Model, task: EvaluationTask) -> tuple[dict[str, PerQuery], float]:
    """Rank a set by a model from a store of its own; {measure: {query: value}}, and the bytes per document of the store."""
    from lateint.indexing.build import build_store

    with tempfile.TemporaryDirectory() as folder, build_store(model, task.corpus(), Path(folder) / "store") as store:
        return per_query(run(cached(model, store), task)), store.info()["bytes"] / len(store)


def run(system: System, task: EvaluationTask) -> Outcome:
    """Measure a system on the candidates of a set."""
    split = task.split
    return measure(system, split.queries, split.candidates, {q: split.qrels[q] for q in split.queries}, task.measures)


def per_query(outcome: Outcome) -> dict[str, PerQuery]:
    """Return {measure: {query: value}} of an outcome."""
    return {name: score.per_query for name, score in outcome.evaluation.scores.items()}
