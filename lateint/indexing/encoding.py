"""Encode a window of documents: tokenise, run batches of similar length through the layers, make entries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lateint.errors import InputError
from lateint.indexing import chunks as chunking
from lateint.indexing.chunks import Chunks
from lateint.indexing.threads import map_on_threads
from lateint.model.batching import OFFLINE_TOKENS, OFFLINE_TOKENS_GPU, by_length
from lateint.model.document import Document
from lateint.model.model import Model
from lateint_store import Entry


@dataclass(frozen=True, slots=True)
class EncodedWindow:
    """Entries of one window, the number of their tokens, and how many documents were truncated."""

    entries: list[Entry]
    tokens: int
    cut: int


EMPTY_WINDOW = EncodedWindow([], 0, 0)


def encode_window(model: Model, documents: list[Document], start: int, chunks: Chunks | None = None) -> EncodedWindow:
    """Encode consecutive documents in batches of similar length; `start` is the index of the first one in the source.

    With `chunks`, each chunk becomes an entry that records how many chunks its document has.
    Raises: InputError naming the document that cannot be encoded.
    """
    return encode_tokens(model, tokenise_window(model, documents, start, chunks))


@dataclass(frozen=True, slots=True)
class TokenisedWindow:
    """Documents or chunks of a window, one per entry, their token ids, whether they are chunks, and how many texts were cut."""

    pieces: chunking.Pieces
    rows: list[list[int]]
    chunked: bool
    cut: int


def tokenise_window(model: Model, documents: list[Document], start: int, chunks: Chunks | None) -> TokenisedWindow:
    """Cut documents into chunks, if `chunks` are given, and tokenise them.

    Raises: InputError naming the document that cannot be tokenised.
    """
    pieces = chunking.Pieces(documents, [1] * len(documents))
    try:
        if chunks is not None:
            pieces = chunking.cut(chunks, model, documents)
        rows, cut = model.tokenise(pieces.documents)
        return TokenisedWindow(pieces, rows, chunks is not None, pieces.cut + sum(cut))
    except InputError as error:
        for index, document in enumerate(documents, start):
            _check(model, document, index)
        raise InputError(f"documents {start}..{start + len(documents) - 1}: {error}") from error


def encode_tokens(model: Model, window: TokenisedWindow) -> EncodedWindow:
    """Encode a tokenised window; entries are in the order of its documents."""
    pieces, rows = window.pieces, window.rows
    entries: dict[int, Entry] = {}
    counts = np.repeat(pieces.sizes, pieces.sizes)
    budget = OFFLINE_TOKENS if model.device.type == "cpu" else OFFLINE_TOKENS_GPU
    batches = list(by_length([len(row) for row in rows], budget))
    encoded = map_on_threads(model.device, lambda batch: model.encode([rows[index] for index in batch]), batches)
    for batch, arrays_of_batch in zip(batches, encoded, strict=True):
        for index, arrays in zip(batch, arrays_of_batch, strict=True):
            if window.chunked:
                arrays[chunking.COUNT] = counts[index : index + 1].astype(np.int64)
            entries[index] = Entry(pieces.documents[index].id, arrays)
    return EncodedWindow([entries[index] for index in range(len(rows))], sum(map(len, rows)), window.cut)


def _check(model: Model, document: Document, index: int) -> None:
    try:
        model.document_tokens([document])
    except InputError as error:
        raise InputError(f"document {index} (id {document.id!r}): {error}") from error
