"""Scoring candidates that a store holds: look up, read, decode what has to be decoded, score."""

from __future__ import annotations

from collections.abc import Sequence

from lateint.aggregate import Aggregate, score_documents
from lateint.coded import codecs_read, score_coded
from lateint.model import Model
from lateint.split import Query
from lateint.store import Store
from lateint.timing import Clock
from lateint_store import Ragged


class StoredScorer:
    """A model over the entries of a store. What its head can read as it is stored is not decoded."""

    def __init__(self, model: Model, store: Store, aggregate: Aggregate) -> None:
        self.model, self.store, self.aggregate = model, store, aggregate
        self.reads = tuple(model.head.reads)
        self.codecs = codecs_read(model, {name: store.manifest.specs[name] for name in self.reads})

    def score(self, clock: Clock, query: Query, ids: Sequence[str]) -> tuple[list[tuple[str, float]], Sequence[str]]:
        """Scores of the documents that the store holds, in the order of `ids`, and the ids that it lacks.

        Raises: DamagedStore; ModelError for a score that is not finite.
        """
        store = self.store
        if store.chunks is None:
            raw = clock.time("fetch", lambda: store.fetch(ids, arrays=self.reads, missing="skip"))
            sizes = dict.fromkeys(raw.ids, 1)
        else:
            sizes, size = clock.time("fetch", lambda: store.sizes(ids))
            clock.bytes_read += size
            raw = clock.time("fetch", lambda: store.fetch(store.entry_ids(sizes), arrays=self.reads))
        clock.bytes_read += raw.bytes_read
        lacking = [doc_id for doc_id in ids if doc_id not in sizes]
        if not sizes:
            return [], lacking
        arrays = clock.time("decode", lambda: store.decode(raw, self.codecs))
        found = clock.time("compute", lambda: self._scores(query, arrays, list(sizes.values())))
        return list(zip(sizes, found, strict=True)), lacking

    def _scores(self, query: Query, arrays: dict[str, Ragged], sizes: Sequence[int]) -> list[float]:
        if self.codecs:
            return self.aggregate(score_coded(self.model, query, arrays, self.codecs), sizes)
        return score_documents(self.model, query, arrays, sizes, self.aggregate)
