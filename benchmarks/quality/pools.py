"""Pools of passages, and BM25's best 1,000 for each query in them: as many candidates as re-rankers get in practice.

BM25 ranks the whole pool, because the candidate lists of the sets are shorter. `msmarco-dl21` and `msmarco-dl19` have all
passages of the set. `squad` and `medquad`, and `squad-dev` and `medquad-dev` for development, have all candidates of the
protocol's first 60 sampled questions, and ask the first 30 of these. `msmarco-dl19-official` is not a pool: it has the official
lists of 100 with all official judgements. All but `msmarco-dl21` and the `-dev` pools are test sets: run once a checkpoint, and
never used to choose.
"""

from __future__ import annotations

from dataclasses import replace

from lateint_eval.datasets.bm25 import Bm25
from lateint_eval.datasets.folder import Split, data_folder, read_split
from lateint_eval.reporting.sets import tasks

DEPTH = 1_000  # candidates a query
ASKED, POOLED = 30, 60  # sampled questions that are asked, and whose candidates are pooled; each costs a peer 1,000 texts
OFFICIAL = "msmarco-dl19-official"
JUDGED = {"msmarco-dl21": ("train", "dev"), "msmarco-dl19": ("test",)}
SAMPLED = {"squad": "squad test", "medquad": "medquad test", "squad-dev": "squad dev", "medquad-dev": "medquad dev"}
NAMES = (*JUDGED, *SAMPLED, OFFICIAL)


def pool(name: str, depth: int = DEPTH) -> Split:
    """The questions of a pool, each with BM25's best `depth` passages; for `OFFICIAL`, the official lists instead."""
    if name == OFFICIAL:
        return next(task.split for task in tasks(data_folder()) if task.name == "msmarco-dl19")
    split = _judged(name) if name in JUDGED else _sampled(SAMPLED[name])
    bm25 = Bm25(list(split.documents), [doc.full_text for doc in split.documents.values()])
    hits = {query: bm25.search(text, depth) for query, text in split.queries.items()}
    return replace(
        split,
        candidates={query: [doc_id for doc_id, _ in pairs] for query, pairs in hits.items()},
        scores={query: [score for _, score in pairs] for query, pairs in hits.items()},
    )


def _judged(name: str) -> Split:
    """All judged queries of a set, with all its passages."""
    parts = [read_split(data_folder() / name, split) for split in JUDGED[name]]
    queries = {query: text for part in parts for query, text in part.queries.items()}
    qrels = {query: labels for part in parts for query, labels in part.qrels.items()}
    return replace(parts[0], name=name, queries=queries, qrels=qrels)


def _sampled(name: str) -> Split:
    """The first `ASKED` questions of a sample, with all candidates of its first `POOLED`."""
    task = next(task for task in tasks(data_folder()) if task.name == name)
    pooled = dict.fromkeys(doc_id for ids in task.first(POOLED).split.candidates.values() for doc_id in ids)
    return replace(task.first(ASKED).split, documents={doc_id: task.split.documents[doc_id] for doc_id in pooled})
