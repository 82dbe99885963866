"""Append a window of documents to an unsealed store."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lateint_store.disk.environment import release
from lateint_store.disk.killpoints import point
from lateint_store.errors import DuplicateDocument, StoreError
from lateint_store.format import index
from lateint_store.format.block import EncodedDocument
from lateint_store.format.index import add_digests, entries_digest, make_entry
from lateint_store.format.manifest import write_manifest
from lateint_store.format.state import ADDING, SourceProgress, State
from lateint_store.shards.shards import Shards, create_shard, put_state, with_shards, writing
from lateint_store.shards.snapshot import Snapshot
from lateint_store.writing.notes import put_note
from lateint_store.writing.records import put_entries
from lateint_store.writing.removing import take_back


@dataclass(frozen=True, slots=True)
class Commit:
    """What a transaction records beside its documents.

    `window`: its number; `last_run`: documents that this run has written; `replaced`: documents at the end of the store that
    these replace; `adding`: the note of the `add` that the window belongs to.
    """

    window: int
    progress: SourceProgress
    last_run: int = 0
    replaced: int = 0
    adding: bytes | None = None


def append_window(shards: Shards, documents: Sequence[EncodedDocument], commit: Commit) -> None:
    """Write the documents of a window and the progress in one transaction, in a new shard if the last one is full.

    Raises: DuplicateDocument before anything changes, StoreFull.
    """
    with shards.reading() as snapshots:
        state, notes = snapshots[-1].state(), snapshots[-1].notes()
        end = state.end - commit.replaced
        for snapshot in snapshots:
            for document in documents:
                found = snapshot.find(document.doc_id)
                if found is not None and found[0] < end:
                    raise DuplicateDocument(f"document {document.doc_id.decode()!r} is already in store {shards.path}")
    if documents and end - state.first >= shards.manifest.documents_per_shard:
        roll(shards, state, notes)
    with shards.writing(-1) as snapshot:
        state = take_back(snapshot, shards.manifest, commit.replaced) if commit.replaced else snapshot.state()
        state = put_window(snapshot, state, documents, commit.window)
        put_state(snapshot, replace(state, progress=commit.progress, last_run=commit.last_run))
        put_note(snapshot, ADDING, commit.adding)
        point("append.before_commit")
    point("append.after_commit")


def roll(shards: Shards, state: State, notes: Mapping[bytes, bytes]) -> None:
    """Start a new shard after the last one, with its notes: they are read from the last shard alone."""
    lock = shards.writer()
    shard, environment = create_shard(lock, shards.manifest, state.following())
    try:
        with writing(environment, environment.location, shards.format) as snapshot:
            for key, note in notes.items():
                put_note(snapshot, key, note)
        point("roll.created")
        write_manifest(lock.folder(), with_shards(shards.manifest, (*shards.manifest.shards, shard)))
        shards.refresh()
    finally:
        release(environment)


def put_window(
    snapshot: Snapshot, state: State, documents: Sequence[EncodedDocument], window: int, *, indexed: bool = True
) -> State:
    """Append the blocks of a window and, if `indexed`, its ids; return the new state."""
    end, content = state.end, state.content
    if end + len(documents) > index.MAX_ORDINAL:
        raise StoreError(f"a store holds at most {index.MAX_ORDINAL} documents")
    blocks = snapshot.environment.databases["blocks"]
    entries = [make_entry(document.doc_id, end + offset) for offset, document in enumerate(documents)]
    for block in snapshot.format.split(documents):
        value = snapshot.format.write(block, end, window)
        point("append.before_put")
        if not snapshot.transaction.put(struct.pack(">Q", end), value, append=True, db=blocks):
            raise snapshot.location.damaged("a block with a higher ordinal exists already", end)
        point("append.after_put")
        end += len(block)
    if indexed:
        put_entries(snapshot, "ids", entries)
    for document in documents:
        content = content.append(document.doc_id.decode(), document.digest)
    return replace(
        state,
        end=end,
        live=state.live + len(documents),
        tokens=state.tokens + sum(document.rows for document in documents),
        index=add_digests(state.index, entries_digest(b"".join(entries))),
        window=window if documents else state.window,
        content=content,
    )
