"""Queries without labels: short spans of a collection's own documents, for distillation on text of all kinds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lateint_eval.datasets.bm25 import Bm25

if TYPE_CHECKING:
    from lateint.train.data import TrainingSet

SPAN_WORDS = (3, 9)  # of a span: as many as short and long queries have
SPAN_CANDIDATES = 30


def span_queries(source: TrainingSet, number: int, seed: int = 0) -> TrainingSet:
    """A training set whose queries are random spans of 3 to 9 words; the document that a span comes from is relevant.

    Candidates are BM25's best 30. Documents shorter than 12 words give no query. Cost: one BM25 index in memory.
    Raises: MissingExtra without bm25s.
    """
    ids = [doc_id for doc_id, document in source.documents.items() if len(document.full_text.split()) >= 12]
    random = np.random.default_rng(seed)
    chosen = random.choice(len(ids), min(number, len(ids)), replace=False)
    index = Bm25(list(source.documents), [document.full_text for document in source.documents.values()])
    queries, positives, candidates = {}, {}, {}
    for place in chosen:
        words = source.documents[ids[place]].full_text.split()
        length = int(random.integers(SPAN_WORDS[0], SPAN_WORDS[1] + 1))
        start = int(random.integers(0, len(words) - length + 1))
        query = f"{ids[place]} {start} {length}"
        queries[query] = " ".join(words[start : start + length])
        positives[query] = {ids[place]: 1}
        candidates[query] = [found for found, _ in index.search(queries[query], SPAN_CANDIDATES)]
    return replace(source, name=f"{source.name} spans", queries=queries, positives=positives, candidates=candidates)
