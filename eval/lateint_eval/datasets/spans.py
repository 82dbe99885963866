"""Queries without labels, for distillation on any text: short spans of a collection's own documents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lateint_eval.datasets.bm25 import Bm25

if TYPE_CHECKING:
    from lateint.train.data import TrainingSet

SPAN_WORDS = (3, 9)  # shortest and longest span, like short and long queries
SPAN_CANDIDATES = 30  # of each span query, from BM25


def span_queries(source: TrainingSet, number: int, seed: int = 0) -> TrainingSet:
    """Build a training set whose queries are random spans of 3 to 9 words; the document of a span is relevant.

    Candidates are the best 30 by BM25. Documents of fewer than 12 words give no query. Cost: one BM25 index in memory.
    Raises: MissingExtra without bm25s.
    """
    ids = [doc_id for doc_id, document in source.documents.items() if len(document.full_text.split()) >= 12]
    random = np.random.default_rng(seed)
    chosen = random.choice(len(ids), min(number, len(ids)), replace=False)
    index = Bm25(list(source.documents), [document.full_text for document in source.documents.values()])
    queries, positives, candidates = {}, {}, {}
    for index_of_document in chosen:
        doc_id = ids[index_of_document]
        words = source.documents[doc_id].full_text.split()
        length = int(random.integers(SPAN_WORDS[0], SPAN_WORDS[1] + 1))
        start = int(random.integers(0, len(words) - length + 1))
        query = f"{doc_id} {start} {length}"
        queries[query] = " ".join(words[start : start + length])
        positives[query] = {doc_id: 1}
        candidates[query] = [found for found, _ in index.search(queries[query], SPAN_CANDIDATES)]
    return replace(source, name=f"{source.name} spans", queries=queries, positives=positives, candidates=candidates)
