"""Build a store: stream documents through the lower layers, one window at a time.

A window of W consecutive source documents is the unit of sorting, batching and commit. An interrupted build restarts at
the start of a window, and a shard takes whole windows. Neither changes which documents share a batch, so an interrupted,
an uninterrupted and a sharded build have the same content digest. All chunks of a document are in one window.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, islice

from lateint.errors import DuplicateDocument, StoreMismatch, StoreNotFound
from lateint.indexing import chunks as chunking
from lateint.indexing.chunks import Chunks
from lateint.indexing.codecs import pipelines
from lateint.indexing.compatibility import ModelRecord, describe
from lateint.indexing.encoding import EMPTY_WINDOW, EncodedWindow, TokenisedWindow, encode_tokens, tokenise_window
from lateint.indexing.fingerprint import ADDED
from lateint.indexing.progress import BuildProgress, ProgressLike, Reporter, check_progress, reporter
from lateint.indexing.store import Store
from lateint.indexing.threads import prefetch
from lateint.methods.registry import Part, part
from lateint.model.document import Document, as_document
from lateint.model.model import Model, check_is_model
from lateint_store import Pipeline, create_store
from lateint_store.arguments import as_count, as_path, as_shard, check_iterable
from lateint_store.format.manifest import MAP_SIZE, read_manifest

WINDOW = 512
_CHUNKED_WINDOW = 64  # a long document has many chunks, and a whole window is in memory


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
    map_size: int | None = None,
) -> Store:
    """Encode documents into a store. The same call after an interruption continues the build.

    Args: `documents`, read as a stream: `Document`s, or str whose id is its index in the stream; `codecs` replaces the
    method's codecs by array name; `progress`, True for a line on stderr, or a callable that takes a `BuildProgress`;
    `chunks` cuts documents into entries `id#0`, `id#1`, ...; `shard` (i, n) encodes every n-th window only, for `merge`;
    `window`, the number of documents per commit (default 512, with chunks 64); `map_size`, bytes of address space that
    writing a shard of a new store takes, and the most that a shard can hold (default 64 GiB).
    Returns: the store, open for `add`.
    Raises: DuplicateDocument naming both positions; StoreMismatch if `path` was started with another model, corpus or
    chunks; InputError naming a document that cannot be encoded, and for chunks that do not fit the model; StoreFull.
    Cost: one forward pass of L layers per document (of T layers with a `vector`). Memory does not grow with the corpus.
    """
    check_is_model(model)
    check_iterable(documents, "documents", "texts or Documents")
    check_progress(progress)
    through, about = store_layout(model, codecs, chunks)
    window = (WINDOW if chunks is None else _CHUNKED_WINDOW) if window is None else as_count(window, "window")
    shard = None if shard is None else as_shard(shard)
    mapped = MAP_SIZE if map_size is None else as_count(map_size, "map_size")
    about["fingerprint"] = _as_begun(path, about["fingerprint"])
    store = create_store(path, through, kind=Store, **about, window=window, shard=shard, map_size=mapped)
    try:
        with reporter(progress, len(documents) if isinstance(documents, Sized) else None) as report:
            _fill(store, model, map(as_document, documents, count()), report)
    except BaseException:
        store.close()  # otherwise its lock would remain after the failure
        raise
    return store


def store_layout(
    model: Model, codecs: Mapping[str, tuple[Part, ...]] | None, chunks: Chunks | None
) -> tuple[dict[str, Pipeline], ModelRecord]:
    """Return the codec pipeline of each array in a store of this model, and the facts that the store records of the model.

    Raises: InputError for an array that the model does not store, and for chunks that do not fit it; SpecError.
    """
    through, about = pipelines(model, codecs), describe(model)
    if chunks is not None:
        chunking.check_fits(chunks, model)
        through[chunking.COUNT] = Pipeline(chunking.COUNT_SPEC, (part("cast", dtype="uint32"),))
        about["fingerprint"][chunking.COUNT] = str(chunks)
    return through, about


def _as_begun(path: str | os.PathLike[str], facts: dict[str, str]) -> dict[str, str]:
    """Leave out the facts that a store which an earlier version began does not hold, so that its build continues."""
    try:
        begun = read_manifest(as_path(path)).fingerprint
    except StoreNotFound:
        return facts
    return {name: fact for name, fact in facts.items() if name in begun or name not in ADDED}


def _fill(store: Store, model: Model, documents: Iterator[Document], report: Reporter) -> None:
    """Encode the documents of this stream that the store does not hold yet.

    While one window runs through the layers, a thread tokenises the next one and another thread writes the one before.
    Documents are read, layers run and `report` is called in the caller's thread.
    """
    source = _source_windows(store, documents)
    with ThreadPoolExecutor(1, "lateint-tokens") as reader, ThreadPoolExecutor(1, "lateint-write") as writer:
        tokens = prefetch(reader, lambda window: (window, _tokenise(store, model, window)), source)
        encoded = ((window, EMPTY_WINDOW if rows is None else encode_tokens(model, rows)) for window, rows in tokens)
        for progress in prefetch(writer, lambda pair: _commit(store, *pair), encoded):
            report(progress)


@dataclass(frozen=True, slots=True)
class _SourceWindow:
    """Consecutive documents, the index of the first, and the running digest up to the last; `mine` False: of another shard."""

    documents: list[Document]
    start: int
    digest: str
    mine: bool


def _source_windows(store: Store, documents: Iterator[Document]) -> Iterator[_SourceWindow]:
    """Yield the windows of the source behind the last commit of the store."""
    digest = _skip(store, documents)
    position, shard, size = store.progress.source_position, store.manifest.shard, store.manifest.window
    while batch := list(islice(documents, size)):
        digest = source_digest(digest, batch)
        yield _SourceWindow(batch, position, digest, shard is None or position // size % shard[1] == shard[0])
        position += len(batch)


def _tokenise(store: Store, model: Model, window: _SourceWindow) -> TokenisedWindow | None:
    if not window.mine:
        return None
    _reject_repeats(window.documents, window.start)
    return tokenise_window(model, window.documents, window.start, store.chunks)


def _commit(store: Store, source: _SourceWindow, window: EncodedWindow) -> BuildProgress:
    """Commit the entries of a window and the source position behind it."""
    position = source.start + len(source.documents)
    try:
        store.append(window.entries, source_end=position, source_digest=source.digest)
    except DuplicateDocument as error:
        raise _stored_duplicate(store, source.documents, source.start) from error
    read = len(source.documents) if source.mine else 0
    return BuildProgress(position, read, window.tokens, window.cut, store.info()["bytes"])


def _reject_repeats(documents: list[Document], start: int) -> None:
    """Reject a window with a repeated id. Raises: DuplicateDocument."""
    first: dict[str, int] = {}
    for index, document in enumerate(documents, start):
        if (before := first.setdefault(document.id, index)) != index:
            raise DuplicateDocument(f"documents {before} and {index} have the same id {document.id!r}; expected each id once")


def _stored_duplicate(store: Store, documents: list[Document], start: int) -> DuplicateDocument:
    """Make an error that names a document of a window and the stored one with the same id."""
    held = store.fetch([store.first_id(document.id) for document in documents], arrays=(), missing="skip")
    index, ordinal = int(held.positions[0]), int(held.ordinals[0])
    return DuplicateDocument(
        f"document {start + index} has the id {documents[index].id!r} of {'document' if store.chunks is None else 'entry'} "
        f"{ordinal} in {store.path}; expected each id once"
    )


def _skip(store: Store, documents: Iterator[Document]) -> str:
    """Skip the documents that earlier runs committed; return their digest.

    Raises: StoreMismatch if they are not the documents that the store was built from.
    """
    done, digest, position = store.progress, "", 0
    while position < done.source_position:
        batch = list(islice(documents, min(store.manifest.window, done.source_position - position)))
        if not batch:
            raise StoreMismatch(
                f"{store.path} was built from {done.source_position} documents, this corpus has {position}; "
                "use `add` for new documents, or another path"
            )
        position += len(batch)
        digest = source_digest(digest, batch)
    if digest != done.source_digest:
        raise StoreMismatch(f"the first {position} documents are not those that {store.path} was built from; use another path")
    return digest


def source_digest(before: str, documents: list[Document]) -> str:
    """Update the running digest with ids, titles and texts of source documents."""
    state = hashlib.blake2b(before.encode(), digest_size=16)
    for document in documents:
        for field in (document.id, document.title, document.text):
            data = str(field).encode(errors="surrogatepass")
            state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()
