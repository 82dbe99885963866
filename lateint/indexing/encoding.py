"""Encoding a window of documents: token ids, batches of similar length, entries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lateint.errors import InputError
from lateint.indexing import chunks as chunking
from lateint.indexing.chunks import Chunks
from lateint.indexing.threads import map_on_threads
from lateint.model.batching import by_length
from lateint.model.document import Document
from lateint.model.model import Model
from lateint_store import Entry

# Padded tokens run through the layers at once. On a processor small batches stay in its caches, and pad less.
TOKENS_A_BATCH, TOKENS_A_BATCH_ON_GPU = 1_024, 4_096


@dataclass(frozen=True, slots=True)
class EncodedWindow:
    """Encoded entries of one window, and what it took."""

    entries: list[Entry]
    tokens: int
    cut: int  # documents whose end did not fit


_NOTHING = EncodedWindow([], 0, 0)


def encode_window(model: Model, documents: list[Document], start: int, chunks: Chunks | None = None) -> EncodedWindow:
    """Encode consecutive documents in batches of similar length; `start` is the first one's place in the source.

    With `chunks`, an entry is a chunk, and says how many its document has.
    Raises: InputError naming the document that cannot be encoded.
    """
    return _run(model, _tokenise(model, documents, start, chunks))


@dataclass(frozen=True, slots=True)
class _Tokens:
    """A window before its layers: what becomes an entry each, its token ids, and whether documents are cut into chunks."""

    pieces: chunking.Pieces
    rows: list[list[int]]
    chunked: bool


def _tokenise(model: Model, documents: list[Document], start: int, chunks: Chunks | None) -> _Tokens:
    pieces = chunking.Pieces(documents, [1] * len(documents))
    try:
        if chunks is not None:
            pieces = chunking.cut(chunks, model, documents)
        return _Tokens(pieces, model.document_tokens(pieces.documents), chunks is not None)
    except InputError as error:
        for place, document in enumerate(documents, start):
            _check(model, document, place)
        raise InputError(f"documents {start}..{start + len(documents) - 1}: {error}") from error


def _run(model: Model, tokens: _Tokens) -> EncodedWindow:
    """The entries of a window, in the order of its documents."""
    pieces, rows = tokens.pieces, tokens.rows
    entries: dict[int, Entry] = {}
    counts = np.repeat(pieces.sizes, pieces.sizes)
    budget = TOKENS_A_BATCH if model.device.type == "cpu" else TOKENS_A_BATCH_ON_GPU
    taken = list(by_length([len(row) for row in rows], budget))
    made = map_on_threads(model.device, lambda places: model.encode([rows[place] for place in places]), taken)
    for places, found in zip(taken, made, strict=True):
        for place, arrays in zip(places, found, strict=True):
            if tokens.chunked:
                arrays[chunking.COUNT] = counts[place : place + 1].astype(np.int64)
            entries[place] = Entry(pieces.documents[place].id, arrays)
    lost = pieces.cut if tokens.chunked else sum(model.texts.is_cut(row, model.method.document) for row in rows)
    return EncodedWindow([entries[place] for place in range(len(rows))], sum(map(len, rows)), lost)


def _check(model: Model, document: Document, place: int) -> None:
    try:
        model.document_tokens([document])
    except InputError as error:
        raise InputError(f"document {place} (id {document.id!r}): {error}") from error
