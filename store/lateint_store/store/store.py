"""`Store`: compressed arrays of documents, by id."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from lateint_store.arguments import as_count, as_list, check_kind, check_text
from lateint_store.disk.activity import inside_transaction
from lateint_store.disk.files import allocated_bytes
from lateint_store.disk.locking import WriterLock
from lateint_store.errors import CodecError, DuplicateDocument, InputError, SealedStore, StoreError, StoreMismatch
from lateint_store.format.content_digest import joined_digest
from lateint_store.format.manifest import FORMAT_VERSION, Manifest
from lateint_store.format.record_kernels import load_record_kernels
from lateint_store.format.state import ADDING, DELETING, SourceProgress, State
from lateint_store.format.versions import library_versions
from lateint_store.kernels.dispatch import load_numba
from lateint_store.ragged import Ragged
from lateint_store.reading.fetch import Fetched, check_indexes
from lateint_store.reading.scan import scan
from lateint_store.reading.verify import Report, verify_store
from lateint_store.reading.view import View, columns, decode
from lateint_store.shards.shards import Shards, put_state, remove_leftovers
from lateint_store.spec import Array
from lateint_store.writing.entry import Entry, encode_entries, encode_ids
from lateint_store.writing.notes import deletion, finish, was_last
from lateint_store.writing.removing import delete_documents, last_window
from lateint_store.writing.rewrite import compact_store, seal_store
from lateint_store.writing.writer import Commit, append_window

ADDED = 1 << 63  # first window number of documents that are not from the source: above the windows of all shards


class Store:
    """An open store. Any number of threads and processes read; one process writes (`write=True`), the others see its commits.

    Make one with `create_store` or `open_store`. Any thread of the writing process may change it; the changes run one
    after the other. Reading methods raise DamagedStore if bytes differ from what was written. Changing methods raise
    SealedStore, StoreFull, and StoreError if the store was opened for reading. All raise StoreMismatch once the path holds
    another store, and StoreNotFound once it holds none.
    A pickle holds the path: unpickling opens the same store for reading, in whatever process it happens.
    """

    def __init__(self, path: Path, lock: WriterLock | None = None) -> None:
        self.path = path
        self._run = 0
        self._turn = threading.RLock()
        self._shards = self._open(lock)
        if lock is not None:
            self._begin_writing(lock)

    def _open(self, lock: WriterLock | None) -> Shards:
        return Shards(self.path, lock)

    def _begin_writing(self, lock: WriterLock) -> None:
        remove_leftovers(lock, self.manifest)
        self._check_index()

    # Description

    @property
    def manifest(self) -> Manifest:
        """The settings that were fixed when the store was created."""
        return self._shards.manifest

    @property
    def sealed(self) -> bool:
        """True once `seal` has made it immutable."""
        return self.manifest.sealed

    @property
    def progress(self) -> SourceProgress:
        """How far the source has been read."""
        return self._states()[-1].progress

    def __len__(self) -> int:
        return sum(state.live for state in self._states())

    def __contains__(self, doc_id: object) -> bool:
        try:
            return isinstance(doc_id, str) and not self.fetch([doc_id], arrays=(), missing="skip").missing
        except InputError:  # an impossible id
            return False

    def ids(self) -> Iterator[str]:
        """Yield the ids of live documents in order, as `scan` reads them."""
        for page in self.scan(arrays=()):
            yield from page.ids

    def content_digest(self) -> str:
        """Digest of ids and arrays of the live documents in order: 64 hex digits.

        Equal for an interrupted, an uninterrupted and a sharded and merged build, before and after `compact` and
        `seal`, and for all byte codecs. Cost: constant; every change updates it.
        """
        return joined_digest(state.content for state in self._states())

    def info(self) -> dict[str, Any]:
        """The data that `lateint store info` prints, JSON-able. `bytes`: allocated on disk, everything included."""
        states, manifest = self._states(), self.manifest
        documents = sum(state.live for state in states)
        size = allocated_bytes(self.path)
        progress = states[-1].progress
        return {
            "content_digest": joined_digest(state.content for state in states),
            "documents": documents,
            "tokens": sum(state.tokens for state in states),
            "bytes": size,
            "bytes_per_document": round(size / documents, 1) if documents else None,
            "encoded_by_last_run": states[-1].last_run,
            "progress": {name: getattr(progress, name) for name in SourceProgress.__slots__},
            "sealed": manifest.sealed,
            "codecs": {name: [str(chosen) for chosen in manifest.specs[name].parts] for name in manifest.arrays},
            "arrays": {name: manifest.specs[name].spec.to_json() for name in manifest.arrays},
            "fingerprint": dict(manifest.fingerprint),
            "model": dict(manifest.model),
            "head": dict(manifest.head),
            "window": manifest.window,
            "shard": list(manifest.shard) if manifest.shard else None,
            "shards": len(manifest.shards),
            "format_version": FORMAT_VERSION,
            "uuid": manifest.uuid,
            "written_with": dict(manifest.versions),
            "read_with": library_versions(),
        }

    # Reading

    def get(self, ids: Iterable[str]) -> list[dict[str, Array]]:
        """Read all arrays of the documents `ids`, in their order; an id may occur more than once.

        Raises: MissingDocument naming the ids that the store does not hold.
        """
        raw = self.fetch(ids)
        arrays = self.decode(raw)
        return [{name: arrays[name][index] for name in self.manifest.arrays} for index in range(len(raw))]

    def fetch(
        self, ids: Iterable[str], arrays: Sequence[str] | None = None, missing: Literal["error", "skip"] = "error"
    ) -> Fetched:
        """Copy the encoded bytes of the documents `ids` out of the store, in one short transaction, in the order of `ids`.

        `arrays`: names of the arrays to read (default: all). `missing="skip"` omits unknown ids and lists them in the
        result. Raises: MissingDocument, InputError, DamagedStore.
        """
        with self.view() as view:
            return view.fetch(ids, arrays, missing)

    @contextmanager
    def view(self) -> Iterator[View]:
        """Read several times from one snapshot: `with store.view() as view: view.fetch(...)`. Keep it short.

        While it is open, writers cannot reuse pages, other threads wait to fork, and this thread cannot change the store.
        """
        with self._shards.reading() as snapshots:
            yield View(self.path, self.manifest, snapshots)

    def check(self) -> None:
        """Raise StoreMismatch if the path holds another store now, StoreNotFound if it holds none. Cost: microseconds."""
        self._shards.check()

    def decode(self, fetched: Fetched, coded: Collection[str] = ()) -> dict[str, Ragged]:
        """Decode fetched bytes: for each array name, one contiguous array over all documents.

        Arrays in `coded` stay in the codes of their array codecs (`Pipeline.coded_rows`). Raises: DamagedStore.
        """
        try:
            return decode(self.manifest, fetched, coded)
        except CodecError:
            with self.view() as view:
                view.name_damaged(fetched)
            raise

    def scan(self, arrays: Sequence[str] | None = None, *, stable: bool = False) -> Iterator[Fetched]:
        """Yield the encoded bytes of all live documents in order, in pages of a few thousand documents, for `decode`.

        `arrays` as in `fetch`. The documents are those that exist when the first page is read; one deleted meanwhile may or
        may not appear, and none appears twice. No transaction stays open between two pages.
        Raises: InputError, DamagedStore; StoreError if the store is compacted meanwhile, or, with `stable`, if documents are
        deleted between two pages: then what was read is what the store had at one moment.
        """
        return scan(self._shards, columns(self.path, self.manifest, arrays), stable=stable)

    def held(self, ids: Iterable[str]) -> set[str]:
        """The ids of the documents that the store holds."""
        return set(self.fetch(ids, arrays=(), missing="skip").ids)

    def rows(self, ids: Iterable[str]) -> npt.NDArray[np.int64]:
        """Number of tokens of each document, int64 [len(ids)]; decodes nothing. Raises: MissingDocument."""
        return self.fetch(ids, arrays=()).rows

    def load_kernels(self) -> None:
        """Use kernels from now on, and compile or load all kernels that reading and writing this store calls.

        Without it, later calls do so once that saves time. Without numba, numpy is used.
        """
        if load_numba():
            load_record_kernels()
        for pipeline in self.manifest.specs.values():
            encoded = pipeline.encode(np.zeros(pipeline.spec.shape(2), pipeline.spec.dtype))
            pipeline.decode(encoded, 2)

    def prepare(self) -> None:
        """Do now what some later read does otherwise: load the kernels, and check the id index.

        A look-up that finds nothing compares the id index with its digest, once after each commit: 12 bytes per document.
        Raises: DamagedStore. Cost: that of `load_kernels`; 1.7 s for 10 million documents, nothing if they were checked.
        """
        self.load_kernels()
        self._check_index()

    def verify(self) -> Report:
        """Read everything and list every problem; never raises on damage."""
        return verify_store(self.path, self.manifest.uuid)

    # Changing

    def append(self, entries: Iterable[Entry], source_end: int, source_digest: str) -> None:
        """Append the next window of the source: documents, index and progress in one durable transaction.

        `source_end`: position in the source after this window; `source_digest`: running digest up to there. A shard i/n
        passes no entries for the windows of other shards, so all shards end at the same position and digest.
        Raises: DuplicateDocument or InputError before anything changes; StoreFull.
        """
        self._append(as_list(entries, "entries", "entries"), source_end, source_digest, replacing=False)

    def replace_last_window(self, entries: Iterable[Entry], source_end: int, source_digest: str) -> None:
        """`append` entries that replace those of `last_window`, because the source has grown inside that window.

        Raises: as `append`; InputError if the last window cannot be replaced.
        """
        self._append(as_list(entries, "entries", "entries"), source_end, source_digest, replacing=True)

    def last_window(self) -> list[str]:
        """Ids of the entries that `append` wrote last; none if documents came after them, or if one of them was deleted."""
        with self._shards.reading() as snapshots:
            return last_window(snapshots[-1])

    def window_ends(self) -> list[int]:
        """The source positions at which windows end, of those that hold documents, sorted. Cost: reads every block's header."""
        with self._shards.reading() as snapshots:
            ends = {block.window for snapshot in snapshots for block in snapshot.blocks()}
        return sorted(end for end in ends if end < ADDED)

    def add(self, entries: Iterable[Entry]) -> None:
        """Add documents that are not part of the source, one window per transaction; the source position stays.

        Raises: DuplicateDocument before anything changes; InputError, StoreFull after earlier windows were committed.
        """
        entries = as_list(entries, "entries", "entries")
        with self._changing():
            window = self.manifest.window
            encode_ids(entries)
            if there := self.fetch([entry.id for entry in entries], arrays=(), missing="skip").ids:
                raise DuplicateDocument(f"document {there[0]!r} is already in store {self.path}")
            for start in range(0, len(entries), window):
                self._add_window(entries[start : start + window])

    def delete(self, ids: Iterable[str], *, again: bool = False) -> None:
        """Delete documents, in one transaction per shard; their bytes stay until `compact`.

        If a call was interrupted, the same call completes it. `again=True` does nothing if the same call was the last change
        of the store: for commands that are repeated after a kill. Raises: MissingDocument before anything changes.
        """
        ids = as_list(ids, "ids", "ids")
        check_kind(again, "again", bool, "True or False")
        with self._changing():
            note = deletion(ids)
            if again and was_last(self._shards, note):
                return
            held = self.held(ids) if note == self._note(DELETING) else None
            self._delete([doc_id for doc_id in ids if held is None or doc_id in held], note)

    def compact(self) -> None:
        """Rewrite the live documents densely, without deleted ones and free pages. Atomic; needs space for a copy."""
        with self._changing():
            compact_store(self._shards)

    def seal(self) -> None:
        """Make the store immutable: compact it, verify every byte, record digests, make the files read-only.

        The store stays open for reading. Raises: DamagedStore if any byte differs from what was written.
        """
        with self._changing():
            seal_store(self._shards)
            self._shards.unlock()

    def start_run(self) -> None:
        """Reset the counter `encoded_by_last_run`, durably."""
        with self._changing():
            self._run = 0
            with self._shards.writing(-1) as snapshot:
                state = snapshot.state()
                if state.last_run:
                    put_state(snapshot, replace(state, last_run=0))

    def close(self) -> None:
        """Close the store, after a change that another thread has begun; further calls do nothing."""
        if self._shards.writes_here() and not inside_transaction():  # a fork may wait for this thread's transaction
            with self._turn:
                self._shards.close()
        else:
            self._shards.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (type(self), str(self.path.absolute()), self.manifest.uuid)

    # Internals

    def _check_index(self) -> None:
        with self._shards.reading() as snapshots:
            check_indexes(snapshots)

    def _note(self, key: bytes) -> bytes | None:
        """A note on a change of several transactions."""
        with self._shards.reading() as snapshots:
            return snapshots[-1].notes().get(key)

    def _append(self, entries: Sequence[Entry], source_end: int, source_digest: str, *, replacing: bool) -> None:
        source_end = as_count(source_end, "source_end", 0)
        check_text(source_digest, "source_digest")
        if source_end >= ADDED:
            raise InputError(f"source_end={source_end} is beyond {ADDED - 1}, the last position of a source")
        with self._changing():
            states = self._states()
            progress = states[-1].progress
            if source_end < progress.source_position:
                raise InputError(f"source position {source_end} is before {progress.source_position}, the stored position")
            replaced = len(self.last_window()) if replacing else 0
            if replacing and not (replaced and entries):
                raise InputError(
                    f"the last window of {self.path} cannot be replaced: it has {replaced} entries, {len(entries)} are new"
                )
            windows = progress.windows + (len(entries) > 0) - replacing
            after = SourceProgress(source_end, source_digest, progress.documents + len(entries) - replaced, windows)
            self._write(entries, Commit(max(source_end, states[-1].window + 1), after, replaced=replaced))

    def _add_window(self, entries: Sequence[Entry], note: bytes | None = None) -> None:
        """Write one window of an `add`; `note`: how far it has come with it."""
        last = self._states()[-1]
        self._write(entries, Commit(max(ADDED, last.window + 1), last.progress, adding=note))

    def _end_add(self, note: bytes) -> None:
        """Note that an `add` was the last change and is finished."""
        finish(self._shards, ADDING, note)

    def _delete(self, ids: Sequence[str], note: bytes) -> None:
        """Delete entries; `note`: of the change. Raises: MissingDocument before anything changes."""
        delete_documents(self._shards, sorted(set(self.fetch(ids, arrays=()).ordinals.tolist())), note)

    def _write(self, entries: Sequence[Entry], commit: Commit) -> None:
        documents = encode_entries(self.manifest, entries)
        append_window(self._shards, documents, replace(commit, last_run=self._run + len(documents)))
        self._run += len(documents)

    def _states(self) -> list[State]:
        with self._shards.reading() as snapshots:
            return [snapshot.state() for snapshot in snapshots]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Check that this process may change the store, and let one thread at a time do so."""
        self._check_writable()  # before waiting: a forked child would wait for a thread that it does not have
        with self._turn:
            self._check_writable()  # another thread may have sealed or closed it
            yield

    def _check_writable(self) -> None:
        if self.sealed:
            raise SealedStore(f"store {self.path} is sealed and cannot change; build another one")
        self._shards.writer()
        if inside_transaction():
            raise StoreError(f"store {self.path} cannot change inside a view or a read of the same thread; leave it first")


def _reopen(kind: type[Store], path: str, uuid: str) -> Store:
    """Open a pickled store for reading. Raises: StoreMismatch if another store has taken its place; as `open_store`."""
    store = kind(Path(path))
    if store.manifest.uuid != uuid:
        store.close()
        raise StoreMismatch(f"store {path} is not the one that was pickled: {uuid[:12]} was replaced; pickle the new one")
    return store
