"""Change an unsealed store: append a window, delete documents."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace

from lateint_store.disk.environment import release
from lateint_store.disk.killpoints import point
from lateint_store.errors import CodecError, DuplicateDocument, StoreError
from lateint_store.format import index
from lateint_store.format.block import EncodedDocument
from lateint_store.format.content_digest import MODULUS, Content, document_digest, link
from lateint_store.format.index import add_digests, entries_digest, make_entry
from lateint_store.format.manifest import Manifest, write_manifest
from lateint_store.format.state import SourceProgress, State
from lateint_store.shards.shards import Shards, create_shard, put_state, with_shards
from lateint_store.shards.snapshot import Snapshot


def append_window(
    shards: Shards, documents: Sequence[EncodedDocument], window: int, progress: SourceProgress, last_run: int
) -> None:
    """Write the documents of a window and the progress in one transaction, in a new shard if the last one is full.

    Raises: DuplicateDocument before anything changes, StoreFull.
    """
    with shards.reading() as snapshots:
        for snapshot in snapshots:
            for document in documents:
                if snapshot.find(document.doc_id) is not None:
                    raise DuplicateDocument(f"document {document.doc_id.decode()!r} is already in store {shards.path}")
        state = snapshots[-1].state()
    if documents and state.end - state.first >= shards.manifest.documents_per_shard:
        roll(shards, state)
    with shards.writing(-1) as snapshot:
        state = put_window(snapshot, snapshot.state(), documents, window)
        put_state(snapshot, replace(state, progress=progress, last_run=last_run))
        point("append.before_commit")
    point("append.after_commit")


def roll(shards: Shards, state: State) -> None:
    """Start a new shard after the last one."""
    lock = shards.writer()
    shard, environment = create_shard(lock, shards.manifest, state.following())
    try:
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


def put_entries(snapshot: Snapshot, database: str, entries: Sequence[bytes], *, append: bool = False) -> None:
    """Insert entries into the index or the list of deleted documents."""
    cursor = snapshot.transaction.cursor(snapshot.environment.databases[database])
    _, added = cursor.putmulti([(index.INDEX_KEY, entry) for entry in sorted(entries)], dupdata=True, append=append)
    if added != len(entries):
        raise snapshot.location.damaged(f"{len(entries) - added} entries of {database!r} exist already")


def delete_documents(shards: Shards, ordinals: Sequence[int]) -> None:
    """Delete live documents (sorted ordinals), in one transaction per shard."""
    with shards.reading() as snapshots:
        states = [snapshot.state() for snapshot in snapshots]
    for number, state in enumerate(states):
        mine = [ordinal for ordinal in ordinals if state.first <= ordinal < state.end]
        if mine:
            with shards.writing(number) as snapshot:
                _delete(snapshot, shards.manifest, mine)
                point("delete.before_commit")
            point("delete.after_commit")


def _delete(snapshot: Snapshot, manifest: Manifest, ordinals: Sequence[int]) -> None:
    """Remove documents of one shard from index, counters and content digest; their bytes stay."""
    state = snapshot.state()
    gone = {int(ordinal) for ordinal in snapshot.deleted()}
    content = _content_without(snapshot, manifest, gone, ordinals)
    entries, tokens = [], 0
    for ordinal in ordinals:
        header = snapshot.record_header(ordinal)
        entries.append(make_entry(header.doc_id, ordinal))
        tokens += header.rows
    for entry in entries:
        if not snapshot.transaction.delete(index.INDEX_KEY, entry, db=snapshot.environment.databases["ids"]):
            raise snapshot.location.damaged("an index entry is missing", index.entry_ordinal(entry))
    put_entries(snapshot, "deleted", entries)
    digest = entries_digest(b"".join(entries))
    state = replace(
        state,
        live=state.live - len(entries),
        tokens=state.tokens - tokens,
        index=add_digests(state.index, digest, -1),
        deleted=add_digests(state.deleted, digest),
        content=content,
    )
    put_state(snapshot, state)


def stored_digest(snapshot: Snapshot, manifest: Manifest, ordinal: int) -> tuple[str, bytes]:
    """Id and content digest of a stored document, computed from its bytes. Raises: DamagedStore."""
    document = read_encoded(snapshot, manifest, ordinal)
    return document.doc_id.decode(), document.digest


def read_encoded(snapshot: Snapshot, manifest: Manifest, ordinal: int) -> EncodedDocument:
    """Read a stored document in encoded form and compare every checksum. Raises: DamagedStore."""
    header = snapshot.record_header(ordinal)
    payloads = snapshot.payloads(ordinal, header, range(len(manifest.arrays)))
    try:
        arrays = [
            bytes(manifest.specs[name].unpack(payload, header.rows))
            for name, payload in zip(manifest.arrays, payloads, strict=True)
        ]
    except CodecError as error:
        raise snapshot.location.damaged(str(error), ordinal, header.doc_id.decode(errors="replace")) from error
    return EncodedDocument(header.doc_id, header.rows, tuple(payloads), document_digest(header.doc_id, arrays))


def _content_without(snapshot: Snapshot, manifest: Manifest, gone: set[int], ordinals: Sequence[int]) -> Content:
    """The shard's content after deleting `ordinals`: cut out each run of neighbours and link its ends."""
    state = snapshot.state()
    content, doomed = state.content, set(ordinals)

    def neighbour(ordinal: int, step: int, skip: set[int]) -> int | None:
        ordinal += step
        while ordinal in skip:
            ordinal += step
        return ordinal if state.first <= ordinal < state.end else None

    for first in ordinals:
        before = neighbour(first, -1, gone)
        if before in doomed:
            continue
        last_id = None if before is None else snapshot.record_header(before).doc_id.decode()
        old_id, at, inner = last_id, first, content.inner
        while at is not None and at in doomed:
            doc_id, digest = stored_digest(snapshot, manifest, at)
            inner -= link(old_id, digest) if old_id is not None else 0
            old_id, at = doc_id, neighbour(at, 1, gone)  # type: ignore[assignment]
        if at is None:
            content = Content(content.first if last_id is not None else None, last_id, inner % MODULUS)
            continue
        _, digest = stored_digest(snapshot, manifest, at)
        inner -= link(old_id, digest)
        if last_id is None:
            content = Content(digest, content.last, inner % MODULUS)
        else:
            content = Content(content.first, content.last, (inner + link(last_id, digest)) % MODULUS)
    return content
