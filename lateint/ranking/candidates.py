"""Score candidates from a store: look up ids, read bytes, decode unless the head reads stored bytes, score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lateint.errors import StoreMismatch
from lateint.heads.inputs import Query
from lateint.indexing.chunks import Chunks, Pieces, cut
from lateint.indexing.codecs import round_trip
from lateint.indexing.store import Store
from lateint.indexing.view import DocumentView
from lateint.model.batching import UNSTORED_TOKENS, by_length
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.ranking.aggregate import Aggregate, score_documents
from lateint.ranking.scoring import readable_codecs, score_quantized
from lateint.results import Clock
from lateint_store import Fetched, Pipeline, Ragged
from lateint_store.spec import Array


class StoredScorer:
    """Score the entries of a store with one head. Arrays that the head can read as stored are not decoded."""

    def __init__(self, model: Model, store: Store, aggregate: Aggregate) -> None:
        self.model, self.store, self.aggregate = model, store, aggregate
        self.reads = tuple(model.head.reads)
        self._by_token = any(store.manifest.specs[name].spec.rows == "tokens" for name in self.reads)
        self.codecs = readable_codecs(model, {name: store.manifest.specs[name] for name in self.reads})

    def score(
        self, clock: Clock, query: Query, ids: Sequence[str], view: DocumentView | None = None
    ) -> tuple[list[tuple[str, float]], Sequence[str]]:
        """Return the scores of the stored documents, in the order of `ids`, and the ids that the store lacks.

        `view`: the snapshot to read; None for a new one. Raises: DamagedStore; ModelError for a score that is not finite.
        """
        arrays, sizes = self.read(clock, ids, view)
        lacking = [doc_id for doc_id in ids if doc_id not in sizes]
        if not sizes:
            return [], lacking
        with clock.phase("compute"):
            scores = self._scores(query, arrays, list(sizes.values()))
        return list(zip(sizes, scores, strict=True)), lacking

    def read(
        self, clock: Clock, ids: Sequence[str], view: DocumentView | None = None
    ) -> tuple[dict[str, Ragged], dict[str, int]]:
        """Return the arrays of stored documents, chunk by chunk, and how many chunks each of them has.

        Arrays in `codecs` stay in their bytes. Raises: as `score`.
        """
        with clock.phase("fetch"), nullcontext(view) if view is not None else self.store.view() as snapshot:
            raw, sizes = self._fetch(clock, snapshot, ids)
        clock.bytes_read += raw.bytes_read
        if not sizes:
            return {}, {}
        with clock.phase("decode"):
            self._check_rows(raw)
            arrays = self.store.decode(raw, self.codecs)
            self._check_token_ids(raw, arrays)
        return arrays, sizes

    def _fetch(self, clock: Clock, view: DocumentView, ids: Sequence[str]) -> tuple[Fetched, dict[str, int]]:
        """Read the entries of the stored documents, and return how many each of these has."""
        if view.chunks is None:
            raw = view.fetch(ids, arrays=self.reads, missing="skip")
            return raw, dict.fromkeys(raw.ids, 1)
        sizes, bytes_read = view.sizes(ids)
        clock.bytes_read += bytes_read
        return view.fetch(view.entry_ids(sizes), arrays=self.reads), sizes

    def _check_rows(self, raw: Fetched) -> None:
        """Refuse entries with a number of rows that no text has in the model's layout. Raises: StoreMismatch."""
        most = self.model.method.document.max_length
        if self._by_token and not (raw.rows.min() >= 1 and raw.rows.max() <= most):
            index = int(np.argmax((raw.rows < 1) | (raw.rows > most)))
            raise self._foreign(raw.ids[index], f"{raw.rows[index]} tokens; expected 1 to {most}")

    def _check_token_ids(self, raw: Fetched, arrays: Mapping[str, Ragged]) -> None:
        """Refuse token ids that the encoder has no embedding for. Raises: StoreMismatch."""
        ids = arrays.get("token_ids")
        if ids is None:
            return
        known = len(self.model.backbone.word_embeddings)
        if not (ids.values.min() >= 0 and ids.values.max() < known):
            wrong = int(np.argmax((ids.values < 0) | (ids.values >= known)))
            index = int(np.searchsorted(ids.offsets, wrong, "right")) - 1
            raise self._foreign(raw.ids[index], f"token id {ids.values[wrong]}; expected 0 to {known - 1}")

    def _foreign(self, entry_id: str, what: str) -> StoreMismatch:
        return StoreMismatch(
            f"{self.store.path}: entry {entry_id!r} holds {what} for {self.model.name}, which did not write it; "
            "delete this document and add it again, or index again"
        )

    def _scores(self, query: Query, arrays: dict[str, Ragged], sizes: Sequence[int]) -> list[float]:
        if self.codecs:
            return self.aggregate(score_quantized(self.model, query, arrays, self.codecs), sizes)
        return score_documents(self.model, query, arrays, sizes, self.aggregate)


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """Arrays that a head reads, for some documents, chunk by chunk; `sizes` has the number of chunks of each document.

    `cut`: how many texts lost their end.
    """

    arrays: dict[str, Ragged]
    sizes: list[int]
    cut: int = 0

    def take(self, indices: Sequence[int]) -> EncodedTexts:
        """Return the documents at these indices, in this order."""
        starts = np.cumsum([0, *self.sizes])
        chunks = np.concatenate([np.arange(starts[index], starts[index + 1]) for index in indices])
        arrays = {name: _take(ragged, chunks) for name, ragged in self.arrays.items()}
        return EncodedTexts(arrays, [self.sizes[index] for index in indices])


def encode_texts(
    model: Model, documents: Sequence[Document], through: Mapping[str, Pipeline], chunks: Chunks | None = None
) -> EncodedTexts:
    """Encode documents in batches of similar length, and round-trip the arrays that the head reads through their codecs."""
    pieces = Pieces(list(documents), [1] * len(documents)) if chunks is None else cut(chunks, model, documents)
    rows, cut_off = model.tokenise(pieces.documents)
    entries: list[dict[str, Array]] = [{} for _ in rows]
    for batch in by_length([len(row) for row in rows], UNSTORED_TOKENS):
        for index, entry in zip(batch, model.encode([rows[i] for i in batch]), strict=True):
            entries[index] = {name: entry[name] for name in model.head.reads}
    arrays = round_trip(entries, {name: through[name] for name in model.head.reads})
    return EncodedTexts(arrays, pieces.sizes, pieces.cut + sum(cut_off))


def _take(ragged: Ragged, indices: NDArray[np.int64]) -> Ragged:
    if ragged.spec.rows == "one":
        return Ragged(ragged.values[indices], np.arange(len(indices) + 1), ragged.spec)
    lengths = np.diff(ragged.offsets)[indices]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)  # index of each row in its document
    return Ragged(ragged.values[np.repeat(ragged.offsets[indices], lengths) + within], offsets, ragged.spec)
