"""Write live documents densely into new shard folders: the only way to compact, seal, merge and recode.

Nothing refers to the new folders until the manifest is replaced. So an interruption leaves the old store, and the next
writer removes the unfinished folders.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from lateint_store.disk import lmdb_pages as pages
from lateint_store.disk.environment import release
from lateint_store.disk.files import disk_errors, sync_file, sync_folder
from lateint_store.disk.killpoints import point
from lateint_store.disk.location import DATA, LOCK, Location, lmdb_errors
from lateint_store.disk.locking import WriterLock
from lateint_store.errors import DamagedStore
from lateint_store.format.block import EncodedDocument
from lateint_store.format.content_digest import Content, joined_digest
from lateint_store.format.index import make_entry
from lateint_store.format.manifest import Manifest, ShardFile, write_manifest
from lateint_store.format.state import State
from lateint_store.reading.verify import Report, verify_shard
from lateint_store.shards.shards import (
    Shards,
    block_format,
    clean_up,
    create_shard,
    put_state,
    remove_leftovers,
    with_shards,
    writing,
)
from lateint_store.shards.snapshot import Snapshot
from lateint_store.writing.notes import put_note
from lateint_store.writing.records import put_entries, read_encoded
from lateint_store.writing.writer import put_window

StoredWindow = tuple[int, list[EncodedDocument]]
"""The number of a window and its documents."""
COMMIT_BYTES = 64 << 20
NO_NOTES: Mapping[bytes, bytes] = MappingProxyType({})


def compact_store(shards: Shards) -> None:
    """Rewrite a store, then switch its manifest to the new folders.

    Raises: StoreFull, DamagedStore; then the store stays as it was.
    """
    publish(shards, with_shards(shards.manifest, copy_live(shards)))


def seal_store(shards: Shards) -> None:
    """Rewrite a store, verify every byte of the copy, record its digests and make it read-only."""
    lock = shards.writer()
    manifest = with_shards(shards.manifest, copy_live(shards))
    report = Report(str(shards.path))
    states = []
    for number, shard in enumerate(manifest.shards):
        location = Location(shards.path, shards.path / shard.folder, number, manifest.map_size)
        states.append(verify_shard(manifest, location, report))
    if not report.ok:
        clean_up(lock, shards.manifest)
        first = report.problems[0]
        raise DamagedStore(str(shards.path), f"its sealed copy is not intact: {first.reason}", ordinal=first.ordinal)
    point("seal.verified")
    digest = joined_digest(state.content for state in states if state is not None)
    with disk_errors(shards.path, "seal"):
        sealed = tuple(_freeze(lock.folder() / shard.folder) for shard in manifest.shards)
    point("seal.read_only")
    publish(shards, with_shards(manifest, sealed, sealed=True, content_digest=digest))


def publish(shards: Shards, manifest: Manifest) -> None:
    """Replace the manifest, reopen the shards that it lists, remove all other shard folders."""
    lock = shards.writer()
    write_manifest(lock.folder(), manifest)
    shards.refresh()
    point("publish.before_clean")
    remove_leftovers(lock, manifest)
    point("publish.after_clean")


def copy_live(shards: Shards) -> tuple[ShardFile, ...]:
    """Copy the live documents of a store into new folders beside the old ones and compare the content digests."""
    lock = shards.writer()
    try:
        with shards.reading() as snapshots:
            states = [snapshot.state() for snapshot in snapshots]
            manifest = shards.manifest
            windows = (window for snapshot in snapshots for window in live_windows(snapshot, manifest))
            files, contents = rewrite(lock, manifest, windows, states[-1], snapshots[-1].notes())
            if joined_digest(contents) != joined_digest(state.content for state in states):
                raise DamagedStore(str(shards.path), "the content digest of the copy differs from the recorded one")
            return files
    except BaseException:
        clean_up(lock, shards.manifest)
        raise


def live_windows(snapshot: Snapshot, manifest: Manifest) -> Iterator[StoredWindow]:
    """Yield the live documents of a shard window by window, with every checksum compared."""
    number = -1
    documents: list[EncodedDocument] = []
    with lmdb_errors(snapshot.location):
        gone = set(snapshot.deleted().tolist())
        for block in snapshot.blocks():
            if block.window != number and documents:
                yield number, documents
                documents = []
            number = block.window
            live = (at for at in range(block.first, block.first + block.count) if at not in gone)
            documents.extend(read_encoded(snapshot, manifest, at) for at in live)
    if documents:
        yield number, documents


def rewrite(
    lock: WriterLock,
    manifest: Manifest,
    windows: Iterable[StoredWindow],
    last: State,
    notes: Mapping[bytes, bytes] = NO_NOTES,
) -> tuple[tuple[ShardFile, ...], list[Content]]:
    """Write windows into new shard folders; return their files and contents.

    `last`: progress and last window; `notes`: on changes of several transactions.
    """
    targets = [_Target(lock, manifest, (), State(progress=last.progress, last_run=last.last_run))]
    try:
        for number, documents in windows:
            target = targets[-1]
            if target.end - target.state.first >= manifest.documents_per_shard:
                target.finish()
                files = tuple(done.file for done in targets)
                targets.append(_Target(lock, manifest, files, target.state.following()))
            targets[-1].put(number, documents)
            point("rewrite.window")
        targets[-1].finish(last.window, notes)
        point("rewrite.done")
    finally:
        for target in targets:
            release(target.environment)
    return tuple(target.file for target in targets), [target.state.content for target in targets]


class _Target:
    """A shard being written. Windows are collected into large transactions; the index is written last, in order."""

    def __init__(self, lock: WriterLock, manifest: Manifest, files: tuple[ShardFile, ...], state: State) -> None:
        self.state = state
        self.format = block_format(manifest)
        self.file, self.environment = create_shard(lock, with_shards(manifest, files), state)
        self._entries: list[bytes] = []
        self._pending: list[StoredWindow] = []
        self._bytes = 0

    @property
    def end(self) -> int:
        """The ordinal after all documents that were put, written or pending."""
        return self.state.end + sum(len(waiting) for _, waiting in self._pending)

    def put(self, number: int, documents: list[EncodedDocument]) -> None:
        """Add a window, to be written now or together with the next ones."""
        first = self.end
        self._entries.extend(make_entry(document.doc_id, first + index) for index, document in enumerate(documents))
        self._pending.append((number, documents))
        self._bytes += sum(len(payload) for document in documents for payload in document.payloads)
        if self._bytes >= COMMIT_BYTES:
            self._flush()

    def finish(self, window: int | None = None, notes: Mapping[bytes, bytes] = NO_NOTES) -> None:
        """Write the pending windows, the index and the state."""
        self._flush()
        with writing(self.environment, self.environment.location, self.format) as snapshot:
            put_entries(snapshot, "ids", self._entries, append=True)
            self.state = replace(self.state, window=self.state.window if window is None else window)
            put_state(snapshot, self.state)
            for key, note in notes.items():
                put_note(snapshot, key, note)
        self._entries = []
        point("rewrite.shard")

    def _flush(self) -> None:
        with writing(self.environment, self.environment.location, self.format) as snapshot:
            for number, documents in self._pending:
                self.state = put_window(snapshot, self.state, documents, number, indexed=False)
        self._pending, self._bytes = [], 0


def _freeze(folder: Path) -> ShardFile:
    """Make a shard's file durable and read-only; return it with its size and digests."""
    data = folder / DATA
    (folder / LOCK).unlink(missing_ok=True)
    sync_file(data)
    data.chmod(0o444)
    sync_folder(folder)
    return ShardFile(folder.name, data.stat().st_size, pages.structure_digest(data), pages.file_digest(data))
