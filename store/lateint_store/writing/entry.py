"""Entries: the documents that a user adds, checked and encoded window by window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lateint_store.arguments import shown
from lateint_store.errors import DuplicateDocument, InputError
from lateint_store.format.block import EncodedDocument
from lateint_store.format.content_digest import document_digest
from lateint_store.format.ids import encode_id
from lateint_store.format.manifest import Manifest
from lateint_store.spec import Array


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One document: its id and one array for each name of the store's specs."""

    id: str
    arrays: Mapping[str, Array]


def encode_ids(entries: Sequence[Entry]) -> list[bytes]:
    """Ids of entries as UTF-8. Raises: InputError naming the entry; DuplicateDocument for an id that occurs twice."""
    encoded: dict[bytes, None] = {}
    for index, entry in enumerate(entries):
        if not isinstance(entry, Entry):
            raise InputError(f"entry {index} of the documents to add is {shown(entry)}; expected lateint_store.Entry")
        try:
            doc_id = encode_id(entry.id)
        except InputError as error:
            raise InputError(f"entry {index} of the documents to add: {error}") from error
        if doc_id in encoded:
            raise DuplicateDocument(f"document {entry.id!r} occurs twice among the documents to add")
        encoded[doc_id] = None
    return list(encoded)


def encode_entries(manifest: Manifest, entries: Sequence[Entry]) -> list[EncodedDocument]:
    """Check and encode the entries of a window.

    Raises: InputError naming document and array; DuplicateDocument for an id that occurs twice.
    """
    ids = encode_ids(entries)
    for entry in entries:
        _check_names(manifest, entry)
    columns = [_encode_column(manifest, name, entries) for name in manifest.arrays]
    return assemble(manifest, ids, [_count_rows(manifest, entry) for entry in entries], columns)


def assemble(
    manifest: Manifest, ids: Sequence[bytes], rows: Sequence[int], columns: Sequence[Sequence[bytes]]
) -> list[EncodedDocument]:
    """Combine ids, rows and, for each array in name order, the bytes from its array codecs and layout into documents."""
    pipelines = [manifest.specs[name] for name in manifest.arrays]
    return [
        EncodedDocument(
            doc_id,
            rows[index],
            tuple(pipeline.pack(column[index]) for pipeline, column in zip(pipelines, columns, strict=True)),
            document_digest(doc_id, [column[index] for column in columns]),
        )
        for index, doc_id in enumerate(ids)
    ]


def _check_names(manifest: Manifest, entry: Entry) -> None:
    if not isinstance(entry.arrays, Mapping):
        raise InputError(f"document {entry.id!r}: arrays is {shown(entry.arrays)}; expected arrays by name")
    if set(entry.arrays) != set(manifest.specs):
        given = ", ".join(sorted(entry.arrays)) or "none"
        raise InputError(f"document {entry.id!r} has arrays {given}; the store holds {', '.join(manifest.arrays)}")


def _count_rows(manifest: Manifest, entry: Entry) -> int:
    """Tokens of a document, on which all arrays with one row per token must agree; 0 if there is no such array."""
    names = [name for name in manifest.arrays if manifest.specs[name].spec.rows == "tokens"]
    lengths = {name: len(entry.arrays[name]) for name in names}
    if len(set(lengths.values())) > 1:
        raise InputError(f"document {entry.id!r}: arrays with one row per token have different lengths: {lengths}")
    return next(iter(lengths.values()), 0)


def _encode_column(manifest: Manifest, name: str, entries: Sequence[Entry]) -> list[bytes]:
    """Apply the array codecs of one array to all entries at once; if that fails, one by one to name the document."""
    pipeline = manifest.specs[name]
    try:
        return pipeline.array_bytes([entry.arrays[name] for entry in entries])
    except InputError:
        for entry in entries:
            try:
                pipeline.array_bytes([entry.arrays[name]])
            except InputError as error:
                raise InputError(f"document {entry.id!r}, array {name!r}: {error}") from error
        raise
