"""Scoring candidates that a store holds: look up, read, decode what has to be decoded, score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lateint.heads.inputs import Query
from lateint.indexing.chunks import Chunks, Pieces, cut
from lateint.indexing.codecs import round_trip
from lateint.indexing.store import Store
from lateint.model.batching import by_length
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.ranking.aggregate import Aggregate, score_documents
from lateint.ranking.scoring import codecs_read, score_coded
from lateint.results import Clock
from lateint_store import Pipeline, Ragged


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


TOKENS_AN_ENCODING = 4_096


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """What a head reads of some documents, chunk by chunk: `sizes` says how many chunks each has."""

    arrays: dict[str, Ragged]
    sizes: list[int]

    def take(self, places: Sequence[int]) -> EncodedTexts:
        """Those of the documents that stand at these places, in this order."""
        starts = np.cumsum([0, *self.sizes])
        wanted = np.concatenate([np.arange(starts[place], starts[place + 1]) for place in places])
        arrays = {name: _taken(ragged, wanted) for name, ragged in self.arrays.items()}
        return EncodedTexts(arrays, [self.sizes[place] for place in places])


def encode_texts(
    model: Model, documents: Sequence[Document], through: Mapping[str, Pipeline], chunks: Chunks | None = None
) -> EncodedTexts:
    """Encode documents in batches of similar length, and pass the arrays that the head reads through their codecs."""
    pieces = Pieces(list(documents), [1] * len(documents)) if chunks is None else cut(chunks, model, documents)
    rows = model.document_tokens(pieces.documents)
    entries: list[dict[str, NDArray[Any]]] = [{} for _ in rows]
    for places in by_length([len(row) for row in rows], TOKENS_AN_ENCODING):
        for place, entry in zip(places, model.encode([rows[i] for i in places]), strict=True):
            entries[place] = {name: entry[name] for name in model.head.reads}
    return EncodedTexts(round_trip(entries, {name: through[name] for name in model.head.reads}), pieces.sizes)


def _taken(ragged: Ragged, wanted: NDArray[np.int64]) -> Ragged:
    if ragged.spec.rows == "one":
        return Ragged(ragged.values[wanted], np.arange(len(wanted) + 1), ragged.spec)
    lengths = np.diff(ragged.offsets)[wanted]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    inside = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)  # the place of each row in its document
    return Ragged(ragged.values[np.repeat(ragged.offsets[wanted], lengths) + inside], offsets, ragged.spec)
