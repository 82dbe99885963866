"""Offline encoding: documents stream through the lower layers into a store, a window at a time.

A window of W consecutive source documents is the unit of sorting, batching and commit. An interrupted build restarts at
a window's edge, a shard takes whole windows, and so neither changes which documents share a batch: the content digest of
an interrupted, an uninterrupted and a sharded build is the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lateint.compatible import describe
from lateint.entries import by_length, pipelines
from lateint.errors import DuplicateDocument, InputError, StoreMismatch
from lateint.model import Document, Model
from lateint.parts import Part
from lateint.progress import Progress, ProgressLike, reporter
from lateint.store import Store
from lateint_store import Entry, create_store

WINDOW = 512
TOKENS_A_BATCH = 4_096  # padded tokens run through the layers at once


def build_store(
    model: Model,
    documents: Iterable[Document | str],
    path: str | os.PathLike[str],
    codecs: Mapping[str, tuple[Part, ...]] | None = None,
    progress: ProgressLike = None,
    *,
    shard: tuple[int, int] | None = None,
    window: int = WINDOW,
) -> Store:
    """Encode documents into a store; run again after an interruption, it continues.

    Args: `documents`, streamed, never held: `Document`s, or str whose id is the place in the stream; `codecs` replaces
    the method's codecs by array name; `progress` True for a line on stderr, or a callable that is given a `Progress`;
    `shard` (i, n) encodes every n-th window only, for `merge`.
    Returns: the store, open for `add`.
    Raises: DuplicateDocument naming both places; StoreMismatch if `path` was begun with another model or corpus;
    InputError for a document that cannot be encoded, naming it; StoreFull.
    Cost: one forward pass of L layers a document (all T with a `vector`). Memory does not grow with the corpus.
    """
    through = pipelines(model, codecs)
    about: Any = {**describe(model), "window": window, "shard": shard}
    store = create_store(path, through, kind=Store, **about)
    try:
        with reporter(progress, len(documents) if isinstance(documents, Sized) else None) as report:
            _fill(store, model, _documents(documents), report)
    except BaseException:
        store.close()  # else its lock would outlive the failure
        raise
    return store


def _documents(documents: Iterable[Document | str]) -> Iterator[Document]:
    for place, document in enumerate(documents):
        yield document if isinstance(document, Document) else Document(str(place), document)


def _fill(store: Any, model: Model, documents: Iterator[Document], report: Any) -> None:
    """Encode what the store does not hold yet of this stream."""
    digest = _skip(store, documents)
    position, shard = store.progress.source_position, store.manifest.shard
    while chunk := list(islice(documents, store.manifest.window)):
        number = position // store.manifest.window
        position += len(chunk)
        digest = source_digest(digest, chunk)
        mine = shard is None or number % shard[1] == shard[0]
        if mine:
            _refuse_repeats(chunk, position - len(chunk))
        window = encode_window(model, chunk, position - len(chunk)) if mine else Window([], 0, 0)
        try:
            store.append(window.entries, source_end=position, source_digest=digest)
        except DuplicateDocument as error:
            raise _explained(store, chunk, position - len(chunk)) from error
        report(Progress(position, len(window.entries), window.tokens, window.cut, store.info()["bytes"]))


def _refuse_repeats(chunk: list[Document], start: int) -> None:
    """Refuse a window that holds an id twice. Raises: DuplicateDocument, InputError."""
    first: dict[str, int] = {}
    for place, document in enumerate(chunk, start):
        if not isinstance(document.id, str):
            raise InputError(f"document {place} has the id {document.id!r}, a {type(document.id).__name__}; expected str")
        if (before := first.setdefault(document.id, place)) != place:
            raise DuplicateDocument(f"documents {before} and {place} have the same id {document.id!r}; expected each id once")


def _explained(store: Any, chunk: list[Document], start: int) -> DuplicateDocument:
    """Which document of a window has the id of which one in the store."""
    held = store.fetch([document.id for document in chunk], arrays=(), missing="skip")
    place, ordinal = start + int(held.positions[0]), int(held.ordinals[0])
    return DuplicateDocument(
        f"document {place} has the id {held.ids[0]!r} of document {ordinal} in {store.path}; expected each id once"
    )


def _skip(store: Any, documents: Iterator[Document]) -> str:
    """Pass over the documents that earlier runs committed, and check that they are the same documents."""
    done, digest, position = store.progress, "", 0
    while position < done.source_position:
        chunk = list(islice(documents, min(store.manifest.window, done.source_position - position)))
        if not chunk:
            raise StoreMismatch(
                f"{store.path} was built from {done.source_position} documents, this corpus has {position}; "
                "use `add` for new documents, or another path"
            )
        position += len(chunk)
        digest = source_digest(digest, chunk)
    if digest != done.source_digest:
        raise StoreMismatch(f"the first {position} documents are not those that {store.path} was built from; use another path")
    return digest


def source_digest(before: str, chunk: list[Document]) -> str:
    """Running digest over windows of source documents: ids, titles and texts."""
    state = hashlib.blake2b(before.encode(), digest_size=16)
    for document in chunk:
        for field in (document.id, document.title, document.text):
            data = str(field).encode(errors="surrogatepass")
            state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()


@dataclass(frozen=True, slots=True)
class Window:
    """Encoded entries of one window, and what it took."""

    entries: list[Entry]
    tokens: int
    cut: int  # documents whose end did not fit


def encode_window(model: Model, chunk: list[Document], start: int) -> Window:
    """Encode consecutive documents in batches of similar length; `start` is the first one's place in the source.

    Raises: InputError naming the document that cannot be encoded.
    """
    try:
        rows = model.document_tokens(chunk)
    except InputError as error:
        for place, document in enumerate(chunk, start):
            _check(model, document, place)
        raise InputError(f"documents {start}..{start + len(chunk) - 1}: {error}") from error
    entries: list[Entry | None] = [None] * len(chunk)
    for places in by_length([len(row) for row in rows], TOKENS_A_BATCH):
        for place, arrays in zip(places, model.encode([rows[i] for i in places]), strict=True):
            entries[place] = Entry(chunk[place].id, arrays)
    cut = sum(model.texts.is_cut(row, model.method.document) for row in rows)
    return Window([entry for entry in entries if entry is not None], sum(map(len, rows)), cut)


def _check(model: Model, document: Document, place: int) -> None:
    try:
        model.document_tokens([document])
    except InputError as error:
        raise InputError(f"document {place} (id {document.id!r}): {error}") from error
