"""`Store`: `lateint_store.Store` with chunked documents, and `add` for texts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import lateint_store
from lateint.errors import DuplicateDocument, InputError, MissingDocument, StoreError, StoreMismatch
from lateint.indexing.chunks import Chunks, chunk_id
from lateint.indexing.source_digest import SourceDigest, committed
from lateint.indexing.view import DocumentView, entry_ids, recorded_chunks
from lateint_store import Entry, Manifest
from lateint_store.arguments import as_list, check_kind
from lateint_store.disk.locking import WriterLock
from lateint_store.format.state import ADDING, DELETING, AddProgress
from lateint_store.writing.notes import deletion, was_last

if TYPE_CHECKING:
    import torch

    from lateint.model.document import Document
    from lateint.model.model import Model


class Store(lateint_store.Store):
    """An open store of document arrays. Only `add` for texts needs torch."""

    @property
    def chunks(self) -> Chunks | None:
        """How documents were cut into entries `id#k`; None if each entry is a whole document."""
        return recorded_chunks(self.path, self.manifest)

    @contextmanager
    def view(self) -> Iterator[DocumentView]:
        """Read several times from one snapshot, as `lateint_store.Store.view`."""
        with self._shards.reading() as snapshots:
            yield DocumentView(self.path, self.manifest, snapshots)

    def first_id(self, doc_id: str) -> str:
        """Return the id of a document's first entry."""
        return doc_id if self.chunks is None else chunk_id(doc_id, 0)

    def held(self, ids: Iterable[str]) -> set[str]:
        """Return the ids of the documents that the store holds."""
        return set(self.sizes(ids)[0])

    def sizes(self, ids: Iterable[str]) -> tuple[dict[str, int], int]:
        """Return the number of entries of each document that the store holds, and the bytes read to find it.

        Cost: a look-up of the first entry of each document, which records the number.
        """
        with self.view() as view:
            return view.sizes(ids)

    def entry_ids(self, sizes: dict[str, int]) -> list[str]:
        """Return the ids of all entries of documents with known sizes, document by document."""
        return entry_ids(self.chunks, sizes)

    def delete(self, ids: Iterable[str], *, again: bool = False) -> None:
        """Delete documents, with all their chunks; their bytes stay until `compact`.

        If a call was interrupted, the same call completes it. `again=True` does nothing if the same call was the last change
        of the store: for commands that are repeated after a kill. Raises: MissingDocument before anything changes.
        """
        if self.chunks is None:
            super().delete(ids, again=again)
            return
        ids = as_list(ids, "ids", "ids")
        check_kind(again, "again", bool, "True or False")
        with self._changing():
            note, (sizes, _) = deletion(ids), self.sizes(ids)
            if again and was_last(self._shards, note):
                return
            absent = [doc_id for doc_id in ids if doc_id not in sizes]
            if absent and note != self._note(DELETING):  # all chunks of a document are deleted in one transaction
                raise MissingDocument(
                    f"store {self.path} holds no document {absent[0]!r} ({len(absent)} of {len(ids)} missing)"
                )
            self._delete(self.entry_ids(sizes), note)

    def add(
        self, documents: Iterable[Document | Entry], model: Model | None = None, *, partial: bool = False, again: bool = False
    ) -> None:
        """Add documents, encoded by `model` (default: the model that the store records), one window per transaction.

        Takes `Document`s, or entries whose arrays are already computed. If an `add` of `Document`s was interrupted, the same
        call continues it: documents at the start of the list that it committed are passed over. `partial=True` treats this call
        as interrupted at its end: a later one with the same documents, and perhaps more behind them, continues.
        `again=True` does nothing if the same call with `Document`s was the last change of the store: for commands that are
        repeated after a kill.
        Raises: DuplicateDocument before anything is written; StoreMismatch if the model computes other arrays; InputError
        before anything of a window is written; StoreError if the store was opened for reading.
        """
        self._check_writable()
        for name, flag in (("partial", partial), ("again", again)):
            check_kind(flag, name, bool, "True or False")
        added = as_list(documents, "documents", "Documents or Entries")
        entries = [document for document in added if isinstance(document, Entry)]
        if len(entries) == len(added):
            super().add(entries)
            return
        from lateint.indexing.compatibility import check_model
        from lateint.model.model import check_is_model

        texts = _texts(added)
        model = recorded_model(self) if model is None else model
        check_is_model(model)
        check_model(model, self)
        with self._changing():
            if again and self.has_added(texts):
                return
            done, held = self.begun(texts)
            self._add_texts(model, texts, done, [place for place, document in enumerate(texts) if document.id not in held])
            if texts and not partial:
                self._end_add(_whole(texts))

    def has_added(self, texts: Sequence[Document]) -> bool:
        """Return True if an `add` of these documents was the last change of the store."""
        return was_last(self._shards, _whole(texts))

    def begun(self, texts: Sequence[Document]) -> tuple[int, set[str]]:
        """Return how many of these documents an interrupted `add` has committed, and which of them are still there.

        Raises: DuplicateDocument for one that the store holds from elsewhere.
        """
        ids = [document.id for document in texts]
        done = committed(texts, self._note(ADDING))
        held = self.held(ids[:done])
        if known := self.held(ids) - held:
            raise DuplicateDocument(f"{self.path} already holds {sorted(known)[:3]!r}; delete them first")
        return done, held

    def _add_texts(self, model: Model, texts: Sequence[Document], done: int, places: Sequence[int]) -> None:
        """Add the texts at `places`; an earlier call has committed the first `done` texts, but some were deleted since."""
        from lateint.indexing.encoding import encode_window

        digest, end = SourceDigest(), 0
        for first in range(0, len(places), self.manifest.window):
            window = places[first : first + self.manifest.window]
            behind = max(window[-1] + 1, done)
            digest, end = digest.extended(texts[end:behind]), behind
            entries = encode_window(model, [texts[place] for place in window], window[0], self.chunks).entries
            self._add_window(entries, AddProgress(end, digest.value).to_bytes())


class DocumentStoreSet(lateint_store.StoreSet, Store):
    """An open set of stores, as `lateint_store.StoreSet`, with chunked documents, and `add` for texts."""

    kind = Store

    def __init__(self, path: Path, lock: WriterLock | None = None) -> None:
        super().__init__(path, lock)
        if self.chunks is not None and self.split == "id":
            self.close()
            raise StoreError(f"{path} holds the chunks of a document in several members; split the store again, by document")

    def add(
        self, documents: Iterable[Document | Entry], model: Model | None = None, *, partial: bool = False, again: bool = False
    ) -> None:
        """Add documents to the members that own them, or to the last one that is not sealed, as `Store.add`.

        If a call was interrupted, the same call continues it in each member. Raises: SealedStore and DuplicateDocument before
        anything changes; as `Store.add`.
        """
        self._check_writable()
        added = as_list(documents, "documents", "Documents or Entries")
        if all(isinstance(document, Entry) for document in added):
            lateint_store.StoreSet.add(self, [document for document in added if isinstance(document, Entry)])
            return
        texts = _texts(added)
        model = recorded_model(self) if model is None else model
        with self._changing():
            groups = [
                (cast(Store, store), [texts[place] for place in places])
                for store, places in self._receivers([self.first_id(document.id) for document in texts])
            ]
            waiting = [(store, chosen) for store, chosen in groups if not store.has_added(chosen)]
            if not again and not waiting:
                waiting = groups
            self._refuse_known([document.id for _, chosen in waiting for document in chosen], waiting)
            for store, chosen in waiting:
                store.add(chosen, model, partial=partial)

    def _refuse_known(self, ids: Sequence[str], groups: Sequence[tuple[Store, Sequence[Document]]]) -> None:
        """Refuse documents that a member holds, unless an interrupted `add` brought them. Raises: DuplicateDocument."""
        known = self.held(ids)
        for store, chosen in groups:
            known -= store.begun(chosen)[1]
        if known:
            raise DuplicateDocument(f"{self.path} already holds {sorted(known)[:3]!r}; delete them first")


def _whole(texts: Sequence[Document]) -> bytes:
    """Return the note of a finished `add`."""
    return AddProgress(len(texts), SourceDigest().extended(texts).value).to_bytes()


def _texts(added: Sequence[Document | Entry]) -> list[Document]:
    """Check that all are documents with different ids."""
    from lateint.model.document import Document, as_document

    texts = [as_document(document, index) for index, document in enumerate(added) if isinstance(document, Document)]
    if len(texts) < len(added):
        odd = next(document for document in added if not isinstance(document, Document))
        raise InputError(f"{type(odd).__name__} among the documents to add; expected Document for all, or Entry for all")
    counts = Counter(document.id for document in texts)
    if repeated := [doc_id for doc_id, times in counts.items() if times > 1]:
        raise DuplicateDocument(f"{repeated[:3]!r} is given twice among the documents to add; expected each id once")
    return texts


def open_store(path: str | os.PathLike[str], *, write: bool = False, cache: str | os.PathLike[str] | None = None) -> Store:
    """Open a store, or a set of stores as one, and check sizes, counts and digests. Needs neither torch nor a model.

    `path`: a folder, or the URL of a published store, such as s3://bucket/path/name (extra `remote`). It is fetched into the
    folder `cache` of local copies unless it is there; default: `$LATEINT_STORE_CACHE`, else the user's cache folder.
    Raises: StoreNotFound, DamagedStore, StoreError, and with `write` SealedStore and StoreLocked; for a set whose members do
    not belong together, StoreMismatch and DuplicateDocument; for a URL, what `lateint_store.fetch_store` raises.
    """
    opened: Store = lateint_store.open_store(path, write=write, cache=cache, kind=Store, kind_of_set=DocumentStoreSet)
    return opened


def recorded_model(
    store: lateint_store.Store,
    *,
    device: str | None = None,
    dtype: str | torch.dtype | None = None,
    threads: int | None = None,
    precision: str | None = None,
) -> Model:
    """Load the model that a store was built with, by its recorded name; `dtype` and `precision` default to the recorded ones.

    `Ranker` and `add` check that the weights behind that name are still the same.
    Raises: StoreMismatch if the store records no model; ModelError if the model is not found.
    """
    return model_of(store.manifest, store.path, device=device, dtype=dtype, threads=threads, precision=precision)


def model_of(
    manifest: Manifest,
    path: Path,
    *,
    device: str | None = None,
    dtype: str | torch.dtype | None = None,
    threads: int | None = None,
    precision: str | None = None,
) -> Model:
    """Load the model that a manifest records, as `recorded_model`. `path`: of its store, for messages."""
    from lateint.loading.load import load_model
    from lateint.loading.shipped import FORMER_NAMES, shipped_folder
    from lateint.methods.method import Method

    recorded = dict(manifest.model)
    name = recorded.get("name")
    if not isinstance(name, str):
        raise StoreMismatch(f"{path} does not record which model made it; name one with --model or model=")
    try:
        method = Method.from_json(recorded.get("method") or {})
    except InputError as error:
        raise StoreMismatch(f"{path} records a method that this version does not have: {error}") from error
    checkpoint = bool(recorded.get("checkpoint"))
    if checkpoint:  # a store records a shipped checkpoint by its bare name, and any folder by its path
        name = FORMER_NAMES.get(name, name)
    return load_model(
        (shipped_folder(name) if checkpoint else None) or name,
        None if checkpoint else method,
        device=device,
        query_max_length=method.query.max_length,
        doc_max_length=method.document.max_length,
        dtype=dtype or manifest.fingerprint.get("dtype"),
        threads=threads,
        precision=precision or _recorded_precision(manifest),
    )


def _recorded_precision(manifest: Manifest) -> str | None:
    """The precision in which documents were encoded, if this processor has it too; None otherwise."""
    from lateint.backbone.reduced import PRECISIONS, has_units

    recorded = manifest.fingerprint.get("precision")
    return next((name for name in PRECISIONS if name == recorded and has_units(name)), None)
