"""Build a store: stream documents through the lower layers, one window at a time.

A window of W consecutive source documents is the unit of sorting, batching and commit. An interrupted build restarts at
the start of a window, and a shard takes whole windows. Neither changes which documents share a batch, so an interrupted,
an uninterrupted and a sharded build have the same content digest. All chunks of a document are in one window.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sized
from concurrent.futures import ThreadPoolExecutor

from lateint.errors import DuplicateDocument, StoreNotFound
from lateint.indexing import chunks as chunking
from lateint.indexing.chunks import Chunks
from lateint.indexing.codecs import pipelines
from lateint.indexing.compatibility import ModelRecord, describe
from lateint.indexing.encoding import EMPTY_WINDOW, EncodedWindow, TokenisedWindow, encode_tokens, tokenise_window
from lateint.indexing.fingerprint import ADDED
from lateint.indexing.progress import BuildProgress, ProgressLike, Reporter, check_progress, reporter
from lateint.indexing.source import SourceWindow, source_windows
from lateint.indexing.store import Store
from lateint.indexing.threads import prefetch
from lateint.methods.registry import Part, part
from lateint.model.document import Document
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
            _fill(store, model, documents, report)
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


def _fill(store: Store, model: Model, documents: Iterable[Document | str], report: Reporter) -> None:
    """Encode the documents of this source that the store does not hold yet.

    While one window runs through the layers, a thread tokenises the next one and another thread writes the one before.
    Documents are read, layers run and `report` is called in the caller's thread.
    """
    source = source_windows(store, documents)
    with ThreadPoolExecutor(1, "lateint-tokens") as reader, ThreadPoolExecutor(1, "lateint-write") as writer:
        tokens = prefetch(reader, lambda window: (window, _tokenise(store, model, window)), source)
        encoded = ((window, EMPTY_WINDOW if rows is None else encode_tokens(model, rows)) for window, rows in tokens)
        for progress in prefetch(writer, lambda pair: _commit(store, *pair), encoded):
            report(progress)


def _tokenise(store: Store, model: Model, window: SourceWindow) -> TokenisedWindow | None:
    if not window.mine:
        return None
    _reject_repeats(window.documents, window.start)
    return tokenise_window(model, window.documents, window.start, store.chunks)


def _commit(store: Store, source: SourceWindow, window: EncodedWindow) -> BuildProgress:
    """Commit the entries of a window and the source position behind it."""
    position = source.end
    try:
        write = store.replace_last_window if source.replaces else store.append
        write(window.entries, source_end=position, source_digest=source.digest)
    except DuplicateDocument as error:
        raise _stored_duplicate(store, source) from error
    read, again = (len(source.documents), source.again) if source.mine else (0, 0)
    return BuildProgress(position, read, window.tokens, window.cut, store.info()["bytes"], again)


def _reject_repeats(documents: list[Document], start: int) -> None:
    """Reject a window with a repeated id. Raises: DuplicateDocument."""
    first: dict[str, int] = {}
    for index, document in enumerate(documents, start):
        if (before := first.setdefault(document.id, index)) != index:
            raise DuplicateDocument(f"documents {before} and {index} have the same id {document.id!r}; expected each id once")


def _stored_duplicate(store: Store, source: SourceWindow) -> DuplicateDocument:
    """Make an error that names a document of a window and the stored one with the same id."""
    documents = source.documents[source.again :]  # the store holds those before
    held = store.fetch([store.first_id(document.id) for document in documents], arrays=(), missing="skip")
    index, ordinal = int(held.positions[0]), int(held.ordinals[0])
    return DuplicateDocument(
        f"document {source.start + source.again + index} has the id {documents[index].id!r} of "
        f"{'document' if store.chunks is None else 'entry'} {ordinal} in {store.path}; expected each id once"
    )
