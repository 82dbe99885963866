"""Ranking data in a folder: a BEIR layout with first-stage runs in `runs/bm25.<split>*.trec.gz`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lateint_eval.formats import Doc, Qrels, read_candidates, read_corpus, read_qrels, read_queries
from lateint_store.errors import InputError

if TYPE_CHECKING:
    from lateint.train.data import TrainingSet

_VARIABLE = "LATEINT_DATA"
SAMPLES = Path(__file__).parent / "samples"  # fixed samples of 200 query ids per set, for evaluation on a CPU


@dataclass(frozen=True, slots=True)
class Split:
    """One split of a ranking set: judged queries with candidates and first-stage scores, and all documents."""

    name: str
    queries: dict[str, str]
    qrels: Qrels
    candidates: dict[str, list[str]]
    scores: dict[str, list[float]]
    documents: dict[str, Doc]

    def only(self, chosen: Sequence[str], depth: int) -> Split:
        """Return the split restricted to these queries and their best `depth` candidates."""
        return Split(
            self.name,
            {q: self.queries[q] for q in chosen},
            {q: self.qrels[q] for q in chosen},
            {q: self.candidates[q][:depth] for q in chosen},
            {q: self.scores[q][:depth] for q in chosen},
            self.documents,
        )


def sampled_queries(name: str, split: str) -> list[str]:
    """Return the fixed sample of query ids for a split of a set."""
    return (SAMPLES / f"{name}.{split}.txt").read_text(encoding="utf-8").split()


def data_folder() -> Path:
    """Return the folder in the environment variable LATEINT_DATA. Raises: InputError if it is not a folder."""
    value = os.environ.get(_VARIABLE, "")
    if not value or not Path(value).is_dir():
        raise InputError(f"{_VARIABLE}={value!r} is not a folder; set it to the folder that holds squad/, medquad/, ...")
    return Path(value)


def read_split(
    folder: str | Path, split: str, *, run: str | None = None, qrels: str | None = None, judged: bool = True
) -> Split:
    """Read one split of a set; `run` and `qrels` name other files in `runs/` and `qrels/`.

    `judged`: False to read no judgements, and to keep every query that has candidates.
    Raises: InputError if a file is missing; FormatError for a malformed line.
    """
    home = Path(folder)
    labels = read_qrels(_one(home / "qrels", qrels or f"{split}.tsv")) if judged else {}
    texts = read_queries(_one(home, "queries.jsonl*"))
    candidates: dict[str, list[str]] = {}
    scores: dict[str, list[float]] = {}
    for entry in read_candidates(_one(home / "runs", run or f"bm25.{split}.top*.trec.gz")):
        if (entry.query_id in labels or not judged) and entry.query_id in texts:
            candidates[entry.query_id] = entry.doc_ids
            scores[entry.query_id] = entry.scores or [0.0] * len(entry.doc_ids)
    documents = {doc.id: doc for doc in read_corpus(_one(home, "corpus.jsonl*"))}
    return Split(f"{home.name} {split}", {q: texts[q] for q in candidates}, labels, candidates, scores, documents)


def training_set(folder: str | Path, split: str = "train") -> TrainingSet:
    """Read a split as training data of the engine: labels from 1 are relevant, label 0 is not.

    A split without judgements, that is without `qrels/SPLIT.tsv`, gives lists for a teacher to judge.
    Documents that are judged in another split are left out, so no model is trained on them, not even as negatives.
    """
    from lateint.model.document import Document
    from lateint.train.data import TrainingSet

    is_labelled = (Path(folder) / "qrels" / f"{split}.tsv").is_file()
    found = read_split(folder, split, judged=is_labelled)
    hidden = _judged_elsewhere(Path(folder), split) - {d for judged in found.qrels.values() for d in judged}
    return TrainingSet(
        name=Path(folder).name,
        queries=found.queries,
        positives={q: {d: level for d, level in found.qrels.get(q, {}).items() if level > 0} for q in found.queries},
        candidates=found.candidates,
        documents={d.id: Document(d.id, d.text, d.title) for d in found.documents.values() if d.id not in hidden},
        is_labelled=is_labelled,
    )


def _judged_elsewhere(home: Path, split: str) -> set[str]:
    others = [file for file in (home / "qrels").glob("*.tsv") if file.stem != split]
    return {d for file in others for judged in read_qrels(str(file)).values() for d in judged}


def _one(folder: Path, pattern: str) -> str:
    found: Sequence[Path] = sorted(folder.glob(pattern))
    if not found:
        raise InputError(f"{folder} holds no {pattern}")
    return str(found[0])
