"""Stored documents in encoded form, and entries of the id index: what appending, removing and rewriting share."""

from __future__ import annotations

from collections.abc import Sequence

from lateint_store.errors import CodecError
from lateint_store.format import index
from lateint_store.format.block import EncodedDocument
from lateint_store.format.content_digest import document_digest
from lateint_store.format.manifest import Manifest
from lateint_store.shards.snapshot import Snapshot


def put_entries(snapshot: Snapshot, database: str, entries: Sequence[bytes], *, append: bool = False) -> None:
    """Insert entries into the index or the list of deleted documents."""
    cursor = snapshot.transaction.cursor(snapshot.environment.databases[database])
    _, added = cursor.putmulti([(index.INDEX_KEY, entry) for entry in sorted(entries)], dupdata=True, append=append)
    if added != len(entries):
        raise snapshot.location.damaged(f"{len(entries) - added} entries of {database!r} exist already")


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
