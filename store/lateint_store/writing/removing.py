"""Remove documents: delete any of them, or take back the last window of a source that has grown inside it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace

from lateint_store.disk.killpoints import point
from lateint_store.format import index
from lateint_store.format.content_digest import MODULUS, Content, link
from lateint_store.format.index import add_digests, entries_digest, make_entry
from lateint_store.format.manifest import Manifest
from lateint_store.format.state import DELETING, State
from lateint_store.shards.shards import Shards, put_state
from lateint_store.shards.snapshot import Snapshot
from lateint_store.writing.notes import finish, put_note
from lateint_store.writing.records import put_entries, stored_digest


def delete_documents(shards: Shards, ordinals: Sequence[int], note: bytes) -> None:
    """Delete live documents (sorted ordinals), in one transaction per shard.

    `note` names the change; it stands in the last shard, which is the first to change, until all shards have changed.
    """
    with shards.reading() as snapshots:
        states = [snapshot.state() for snapshot in snapshots]
        begun = snapshots[-1].notes().get(DELETING) == note
    if not ordinals and not begun:
        return
    last = len(states) - 1
    of_shard = [[ordinal for ordinal in ordinals if state.first <= ordinal < state.end] for state in states]
    if not of_shard[last]:
        with shards.writing(last) as snapshot:
            put_note(snapshot, DELETING, note)
    for number in reversed(range(len(states))):
        if of_shard[number]:
            with shards.writing(number) as snapshot:
                if number == last:
                    put_note(snapshot, DELETING, note)
                _delete(snapshot, shards.manifest, of_shard[number])
                point("delete.before_commit")
            point("delete.after_commit")
    finish(shards, DELETING, note)


def _delete(snapshot: Snapshot, manifest: Manifest, ordinals: Sequence[int]) -> None:
    """Delete documents of one shard; their bytes stay."""
    state, entries = _forget(snapshot, manifest, ordinals)
    put_entries(snapshot, "deleted", entries)
    put_state(snapshot, replace(state, deleted=add_digests(state.deleted, entries_digest(b"".join(entries)))))


def last_window(snapshot: Snapshot) -> list[str]:
    """Ids of the last window of the source in the last shard; empty if other documents came later or one was deleted."""
    state = snapshot.state()
    if state.window != state.progress.source_position or not state.live:
        return []
    first = state.end
    while first > state.first and (block := snapshot.block(first - 1)).window == state.window:
        first = block.first
    gone = snapshot.deleted()
    if len(gone) and gone[-1] >= first:
        return []
    return [snapshot.record_header(ordinal).doc_id.decode() for ordinal in range(first, state.end)]


def take_back(snapshot: Snapshot, manifest: Manifest, number: int) -> State:
    """Remove the last `number` documents of a shard, all of one window, with their blocks; return the new state."""
    end = snapshot.state().end - number
    state, _ = _forget(snapshot, manifest, range(end, end + number))
    cursor = snapshot.transaction.cursor(snapshot.environment.databases["blocks"])
    while cursor.last() and struct.unpack(">Q", cursor.key())[0] >= end:
        cursor.delete()
    return replace(state, end=end)


def _forget(snapshot: Snapshot, manifest: Manifest, ordinals: Sequence[int]) -> tuple[State, list[bytes]]:
    """Remove documents of one shard from index, counters and content digest; return the state and their index entries."""
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
    digest = add_digests(state.index, entries_digest(b"".join(entries)), -1)
    live, tokens = state.live - len(entries), state.tokens - tokens
    return replace(state, live=live, tokens=tokens, index=digest, content=content), entries


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
