"""Documents that no store holds: encoded now, through the same codecs as if one did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lateint.chunks import Chunks, Pieces, cut
from lateint.entries import by_length, round_trip
from lateint.model import Document, Model
from lateint_store import Pipeline, Ragged

TOKENS_AN_ENCODING = 4_096


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a head reads of some documents, chunk by chunk: `sizes` says how many chunks each has."""

    arrays: dict[str, Ragged]
    sizes: list[int]

    def take(self, places: Sequence[int]) -> Encoded:
        """Those of the documents that stand at these places, in this order."""
        starts = np.cumsum([0, *self.sizes])
        wanted = np.concatenate([np.arange(starts[place], starts[place + 1]) for place in places])
        arrays = {name: _taken(ragged, wanted) for name, ragged in self.arrays.items()}
        return Encoded(arrays, [self.sizes[place] for place in places])


def encode_now(
    model: Model, documents: Sequence[Document], through: Mapping[str, Pipeline], chunks: Chunks | None = None
) -> Encoded:
    """Encode documents in batches of similar length, and pass the arrays that the head reads through their codecs."""
    pieces = Pieces(list(documents), [1] * len(documents)) if chunks is None else cut(chunks, model, documents)
    rows = model.document_tokens(pieces.documents)
    entries: list[dict[str, NDArray[Any]]] = [{} for _ in rows]
    for places in by_length([len(row) for row in rows], TOKENS_AN_ENCODING):
        for place, entry in zip(places, model.encode([rows[i] for i in places]), strict=True):
            entries[place] = {name: entry[name] for name in model.head.reads}
    return Encoded(round_trip(entries, {name: through[name] for name in model.head.reads}), pieces.sizes)


def _taken(ragged: Ragged, wanted: NDArray[np.int64]) -> Ragged:
    if ragged.spec.rows == "one":
        return Ragged(ragged.values[wanted], np.arange(len(wanted) + 1), ragged.spec)
    lengths = np.diff(ragged.offsets)[wanted]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    inside = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)  # the place of each row in its document
    return Ragged(ragged.values[np.repeat(ragged.offsets[wanted], lengths) + inside], offsets, ragged.spec)
