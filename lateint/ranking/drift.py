"""Measure how much scores change between two stores of the same documents with different codecs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np

from lateint.backbone.tokenizer import PROBES
from lateint.indexing.store import Store
from lateint.model.model import Model
from lateint.ranking.ranker import Ranker

_DOCUMENTS = 100


@dataclass(frozen=True, slots=True)
class Drift:
    """Score differences over the same pairs, and the spread of scores to compare them with."""

    pairs: int
    largest: float
    mean: float
    spread: float  # standard deviation of the scores of a query over its documents, averaged over queries


def drift(model: Model, before: Store, after: Store, documents: int = _DOCUMENTS) -> Drift:
    """Score fixed texts as queries against the first `documents` entries of both stores.

    Raises: StoreMismatch if one of the stores was made by another model. Cost: the head over `documents` pairs, six times.
    """
    ids = list(islice(before.ids(), documents))
    if before.chunks is not None:
        ids = list(dict.fromkeys(entry_id.rpartition("#")[0] for entry_id in ids))
    rankers = [Ranker(model, store) for store in (before, after)]
    differences, spreads = [np.zeros(0)], []
    for query in PROBES if ids else ():
        scores = [{hit.doc_id: hit.score for hit in ranker.rank(query, ids)} for ranker in rankers]
        old, new = (np.array([by_id[doc_id] for doc_id in ids]) for by_id in scores)
        differences.append(np.abs(new - old))
        spreads.append(float(old.std()))
    joined = np.concatenate(differences)
    mean = float(joined.mean()) if len(joined) else 0.0
    return Drift(len(joined), float(joined.max(initial=0.0)), mean, float(np.mean(spreads)) if spreads else 0.0)
