"""Notes on changes that take several transactions: how far a change is, and which one was the last.

They stand beside the state of the last shard, so that the same call can complete an interrupted change, and a repeated command
can see that it was finished.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from lateint_store.format.content_digest import joined_digest
from lateint_store.format.ids import encode_id
from lateint_store.format.state import FINISHED
from lateint_store.shards.shards import Shards
from lateint_store.shards.snapshot import Snapshot


def deletion(ids: Iterable[str]) -> bytes:
    """The note of a deletion: a digest of the ids, which the same call will give again."""
    digest = hashlib.blake2b(digest_size=16, person=b"lateint delete")
    for doc_id in sorted(set(map(encode_id, ids))):
        digest.update(len(doc_id).to_bytes(8, "little") + doc_id)
    return digest.digest()


def put_note(snapshot: Snapshot, key: bytes, note: bytes | None) -> None:
    """Write a note; None removes it."""
    database = snapshot.environment.databases["state"]
    if note is None:
        snapshot.transaction.delete(key, db=database)
    else:
        snapshot.transaction.put(key, note, db=database)


def finish(shards: Shards, key: bytes, note: bytes) -> None:
    """Remove the note `key` of a change. `note` becomes that of the last change, valid while the content stays the same."""
    with shards.reading() as snapshots:
        finished = _finished(snapshots, note)
    with shards.writing(-1) as snapshot:
        put_note(snapshot, key, None)
        put_note(snapshot, FINISHED, finished)


def was_last(shards: Shards, note: bytes) -> bool:
    """True if the change with this note was the last one: the content is as it left it."""
    with shards.reading() as snapshots:
        return snapshots[-1].notes().get(FINISHED) == _finished(snapshots, note)


def _finished(snapshots: Iterable[Snapshot], note: bytes) -> bytes:
    return note + joined_digest(snapshot.state().content for snapshot in snapshots).encode()
