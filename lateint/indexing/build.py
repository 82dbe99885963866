"""Offline encoding: documents stream through the lower layers into a store, a window at a time.

A window of W consecutive source documents is the unit of sorting, batching and commit. An interrupted build restarts at
a window's edge, a shard takes whole windows, and so neither changes which documents share a batch: the content digest of
an interrupted, an uninterrupted and a sharded build is the same. Documents that are cut into chunks stay in one window.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lateint.errors import DuplicateDocument, InputError, StoreMismatch
from lateint.indexing import chunks as chunking
from lateint.indexing.chunks import Chunks
from lateint.indexing.codecs import pipelines
from lateint.indexing.compatibility import describe
from lateint.indexing.encoding import (
    _NOTHING,
    EncodedWindow,
    _run,
    _tokenise,
    _Tokens,
)
from lateint.indexing.progress import BuildProgress, ProgressLike, reporter
from lateint.indexing.store import Store
from lateint.indexing.threads import prefetch
from lateint.methods.registry import Part, part
from lateint.model.document import Document
from lateint.model.model import Model
from lateint_store import ArraySpec, Pipeline, create_store

WINDOW = 512
WINDOW_OF_CHUNKED = 64  # a long document has many chunks, and a window is in memory at once


def build_store(
    model: Model,
    documents: Iterable[Document | str],
    path: str | os.PathLike[str],
    codecs: Mapping[str, tuple[Part, ...]] | None = None,
    progress: ProgressLike = None,
    *,
    chunks: Chunks | None = None,
    shard: tuple[int, int] | None = None,
    window: int | None = None,
) -> Store:
    """Encode documents into a store; run again after an interruption, it continues.

    Args: `documents`, streamed, never held: `Document`s, or str whose id is the place in the stream; `codecs` replaces
    the method's codecs by array name; `progress` True for a line on stderr, or a callable that is given a `Progress`;
    `chunks` cuts documents into entries `id#0`, `id#1`, ...; `shard` (i, n) encodes every n-th window only, for `merge`;
    `window` documents are committed at once (default 512, with chunks 64).
    Returns: the store, open for `add`.
    Raises: DuplicateDocument naming both places; StoreMismatch if `path` was begun with another model, corpus or chunks;
    InputError for a document that cannot be encoded, naming it, and for chunks that do not fit the model; StoreFull.
    Cost: one forward pass of L layers a document (all T with a `vector`). Memory does not grow with the corpus.
    """
    through, about = store_layout(model, codecs, chunks)
    usual = WINDOW if chunks is None else WINDOW_OF_CHUNKED
    about |= {"window": usual if window is None else window, "shard": shard}
    store = create_store(path, through, kind=Store, **about)
    try:
        with reporter(progress, len(documents) if isinstance(documents, Sized) else None) as report:
            _fill(store, model, _documents(documents), report)
    except BaseException:
        store.close()  # else its lock would outlive the failure
        raise
    return store


def store_layout(
    model: Model, codecs: Mapping[str, tuple[Part, ...]] | None, chunks: Chunks | None
) -> tuple[dict[str, Pipeline], dict[str, Any]]:
    """The arrays of a store that a model fills, and what it records of the model.

    Raises: InputError for an array that the model does not store, and for chunks that do not fit it; SpecError.
    """
    through, about = pipelines(model, codecs), describe(model)
    if chunks is not None:
        chunking.check_fits(chunks, model)
        through[chunking.COUNT] = Pipeline(ArraySpec("int64", 1, rows="one"), (part("cast", dtype="uint32"),))
        about["fingerprint"][chunking.COUNT] = str(chunks)
    return through, about


def _documents(documents: Iterable[Document | str]) -> Iterator[Document]:
    for place, document in enumerate(documents):
        yield document if isinstance(document, Document) else Document(str(place), document)


def _fill(store: Store, model: Model, documents: Iterator[Document], report: Any) -> None:
    """Encode what the store does not hold yet of this stream.

    While a window runs through the layers, the next one is tokenised and the one before is written, each in a thread of
    its own. Documents are read, layers run and progress is told in the caller's thread.
    """
    source = _windows(store, documents)
    with ThreadPoolExecutor(1, "lateint-tokens") as reader, ThreadPoolExecutor(1, "lateint-write") as writer:
        tokens = prefetch(reader, lambda taken: (taken, _tokens_of(store, model, taken)), source)
        encoded = ((taken, _NOTHING if rows is None else _run(model, rows)) for taken, rows in tokens)
        for progress in prefetch(writer, lambda pair: _written(store, *pair), encoded):
            report(progress)


@dataclass(frozen=True, slots=True)
class _Taken:
    """Consecutive documents, the place of the first, the running digest up to the last; not `mine`: another shard's."""

    documents: list[Document]
    start: int
    digest: str
    mine: bool


def _windows(store: Store, documents: Iterator[Document]) -> Iterator[_Taken]:
    """The windows of the source that the store has not passed yet."""
    digest = _skip(store, documents)
    position, shard, size = store.progress.source_position, store.manifest.shard, store.manifest.window
    while taken := list(islice(documents, size)):
        digest = source_digest(digest, taken)
        yield _Taken(taken, position, digest, shard is None or position // size % shard[1] == shard[0])
        position += len(taken)


def _tokens_of(store: Store, model: Model, taken: _Taken) -> _Tokens | None:
    if not taken.mine:
        return None
    _refuse_repeats(taken.documents, taken.start)
    return _tokenise(model, taken.documents, taken.start, store.chunks)


def _written(store: Store, taken: _Taken, window: EncodedWindow) -> BuildProgress:
    """Commit a window and the place in the source behind it."""
    position = taken.start + len(taken.documents)
    try:
        store.append(window.entries, source_end=position, source_digest=taken.digest)
    except DuplicateDocument as error:
        raise _explained(store, taken.documents, taken.start) from error
    read = len(taken.documents) if taken.mine else 0
    return BuildProgress(position, read, window.tokens, window.cut, store.info()["bytes"])


def _refuse_repeats(documents: list[Document], start: int) -> None:
    """Refuse a window that holds an id twice. Raises: DuplicateDocument, InputError."""
    first: dict[str, int] = {}
    for place, document in enumerate(documents, start):
        if not isinstance(document.id, str):
            raise InputError(f"document {place} has the id {document.id!r}, a {type(document.id).__name__}; expected str")
        if (before := first.setdefault(document.id, place)) != place:
            raise DuplicateDocument(f"documents {before} and {place} have the same id {document.id!r}; expected each id once")


def _explained(store: Store, documents: list[Document], start: int) -> DuplicateDocument:
    """Which document of a window has the id of which one in the store."""
    held = store.fetch([store.first_id(document.id) for document in documents], arrays=(), missing="skip")
    place, ordinal = int(held.positions[0]), int(held.ordinals[0])
    return DuplicateDocument(
        f"document {start + place} has the id {documents[place].id!r} of {'document' if store.chunks is None else 'entry'} "
        f"{ordinal} in {store.path}; expected each id once"
    )


def _skip(store: Any, documents: Iterator[Document]) -> str:
    """Pass over the documents that earlier runs committed, and check that they are the same documents."""
    done, digest, position = store.progress, "", 0
    while position < done.source_position:
        taken = list(islice(documents, min(store.manifest.window, done.source_position - position)))
        if not taken:
            raise StoreMismatch(
                f"{store.path} was built from {done.source_position} documents, this corpus has {position}; "
                "use `add` for new documents, or another path"
            )
        position += len(taken)
        digest = source_digest(digest, taken)
    if digest != done.source_digest:
        raise StoreMismatch(f"the first {position} documents are not those that {store.path} was built from; use another path")
    return digest


def source_digest(before: str, documents: list[Document]) -> str:
    """Running digest over windows of source documents: ids, titles and texts."""
    state = hashlib.blake2b(before.encode(), digest_size=16)
    for document in documents:
        for field in (document.id, document.title, document.text):
            data = str(field).encode(errors="surrogatepass")
            state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()
