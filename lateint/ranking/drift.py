"""How far scores move between two stores of the same documents in different codecs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np

from lateint.indexing.fingerprint import PROBES
from lateint.indexing.store import Store
from lateint.model.model import Model
from lateint.ranking.ranker import Ranker

DOCUMENTS = 100


@dataclass(frozen=True, slots=True)
class Drift:
    """Differences of scores over the same pairs, and what they are to be compared with: how far scores spread."""

    pairs: int
    largest: float
    mean: float
    spread: float  # standard deviation of a query's scores over documents, as a mean over queries


def drift(model: Model, before: Store, after: Store, documents: int = DOCUMENTS) -> Drift:
    """Score fixed texts as queries against the first `documents` entries of both stores.

    Raises: StoreMismatch if the model made neither. Cost: the model's head over `documents` pairs, six times.
    """
    ids = list(islice(before.ids(), documents))
    if before.chunks is not None:
        ids = list(dict.fromkeys(entry_id.rpartition("#")[0] for entry_id in ids))
    rankers = [Ranker(model, store) for store in (before, after)]
    moved, spreads = [np.zeros(0)], []
    for query in PROBES if ids else ():
        scores = [{hit.doc_id: hit.score for hit in ranker.rank(query, ids)} for ranker in rankers]
        old, new = (np.array([found[doc_id] for doc_id in ids]) for found in scores)
        moved.append(np.abs(new - old))
        spreads.append(float(old.std()))
    all_moved = np.concatenate(moved)
    mean = float(all_moved.mean()) if len(all_moved) else 0.0
    return Drift(len(all_moved), float(all_moved.max(initial=0.0)), mean, float(np.mean(spreads)) if spreads else 0.0)
