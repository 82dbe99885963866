"""Pools of passages, and the best 1,000 of each query in them: candidates of the size that re-rankers meet.

BM25 ranks the whole pool, because the lists that come with the sets are shorter. `msmarco-dl21` and
`msmarco-dl19`: all passages that come with the set. `squad` and `medquad`, with `-dev` behind it for development: every
candidate of the first 60 of the protocol's sampled questions, the first 30 of which are asked. `msmarco-dl19-official` is no
pool, but the official lists of 100 with all official judgements. All but dl21 and `-dev` are test sets: once a checkpoint,
nothing chosen by them.
"""

from __future__ import annotations

from dataclasses import replace

from lateint_eval.datasets.bm25 import Bm25
from lateint_eval.datasets.folder import Split, data_folder, read_split
from lateint_eval.reporting.sets import tasks

DEPTH = 1_000  # candidates a query
ASKED, POOLED = 30, 60  # questions of those sampled: a cross-encoder reads 1,000 texts for each that is asked
OFFICIAL = "msmarco-dl19-official"
JUDGED = {"msmarco-dl21": ("train", "dev"), "msmarco-dl19": ("test",)}
SAMPLED = {"squad": "squad test", "medquad": "medquad test", "squad-dev": "squad dev", "medquad-dev": "medquad dev"}
NAMES = (*JUDGED, *SAMPLED, OFFICIAL)


def pool(name: str, depth: int = DEPTH) -> Split:
    """The questions of a pool, each with its best `depth` passages; of `OFFICIAL` the lists that come with it."""
    if name == OFFICIAL:
        return next(task.split for task in tasks(data_folder()) if task.name == "msmarco-dl19")
    split = _judged(name) if name in JUDGED else _sampled(SAMPLED[name])
    first = Bm25(list(split.documents), [doc.full_text for doc in split.documents.values()])
    found = {query: first.search(text, depth) for query, text in split.queries.items()}
    return replace(
        split,
        candidates={query: [doc_id for doc_id, _ in pairs] for query, pairs in found.items()},
        scores={query: [score for _, score in pairs] for query, pairs in found.items()},
    )


def _judged(name: str) -> Split:
    """All judged queries of a set, over all its passages."""
    parts = [read_split(data_folder() / name, split) for split in JUDGED[name]]
    queries = {query: text for part in parts for query, text in part.queries.items()}
    qrels = {query: labels for part in parts for query, labels in part.qrels.items()}
    return replace(parts[0], name=name, queries=queries, qrels=qrels)


def _sampled(name: str) -> Split:
    """The first questions of a sample, over every candidate of twice as many."""
    task = next(task for task in tasks(data_folder()) if task.name == name)
    held = dict.fromkeys(doc_id for ids in task.first(POOLED).split.candidates.values() for doc_id in ids)
    return replace(task.first(ASKED).split, documents={doc_id: task.split.documents[doc_id] for doc_id in held})
