"""`View`: a store as of one moment. All its reads see the same documents, whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal

from lateint_store.arguments import as_list, check_kind, check_text
from lateint_store.errors import CodecError, InputError, MissingDocument
from lateint_store.format.content_digest import Content, joined_digest
from lateint_store.format.manifest import Manifest
from lateint_store.ragged import Ragged
from lateint_store.reading.fetch import Fetched, fetch_documents
from lateint_store.shards.snapshot import Snapshot


class View:
    """Reads of one snapshot, valid inside the `with` block of `Store.view`, in the thread that opened it."""

    def __init__(self, path: Path, manifest: Manifest, snapshots: Sequence[Snapshot]) -> None:
        self.path, self.manifest, self._snapshots = path, manifest, snapshots

    def fetch(
        self, ids: Iterable[str], arrays: Sequence[str] | None = None, missing: Literal["error", "skip"] = "error"
    ) -> Fetched:
        """Copy the encoded bytes of the documents `ids` out of the store, as `Store.fetch` does.

        Raises: MissingDocument, InputError, DamagedStore.
        """
        found = fetch_documents(self._snapshots, ids, columns(self.path, self.manifest, arrays))
        if found.missing and missing != "skip":
            absent = found.missing
            shown = ", ".join(map(repr, absent[:5])) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
            raise MissingDocument(f"store {self.path} holds no document {shown}")
        return found

    def decode(self, fetched: Fetched, coded: Collection[str] = ()) -> dict[str, Ragged]:
        """Decode fetched bytes, as `Store.decode` does. Raises: DamagedStore."""
        try:
            return decode(self.manifest, fetched, coded)
        except CodecError:
            self.name_damaged(fetched)
            raise

    def contents(self) -> list[Content]:
        """The content of each shard, in order; `joined_digest` makes the digest of a store of them, or of a set."""
        return [snapshot.state().content for snapshot in self._snapshots]

    def content_digest(self) -> str:
        """Digest of ids and arrays of the live documents, as `Store.content_digest`."""
        return joined_digest(self.contents())

    def name_damaged(self, fetched: Fetched) -> None:
        """Find the document that cannot be decoded and name it. Raises: DamagedStore."""
        for name, payloads in fetched.payloads.items():
            for index, payload in enumerate(payloads.views()):
                try:
                    self.manifest.specs[name].decode(payload, int(fetched.rows[index]))
                except CodecError as error:
                    ordinal, doc_id = int(fetched.ordinals[index]), fetched.ids[index]
                    raise self._holder(doc_id, ordinal).location.damaged(f"array {name!r}: {error}", ordinal, doc_id) from error

    def _holder(self, doc_id: str, ordinal: int) -> Snapshot:
        """The shard that holds a document; the one that has its ordinal if the document was deleted since."""
        holders = (s for s in self._snapshots if ordinal in s.ordinals(doc_id.encode()))
        return next(holders, None) or next(s for s in reversed(self._snapshots) if s.state().first <= ordinal)


def decode(manifest: Manifest, fetched: Fetched, coded: Collection[str]) -> dict[str, Ragged]:
    """Decode fetched bytes; arrays in `coded` stay in the codes of their array codecs. Raises: CodecError."""
    check_kind(fetched, "fetched", Fetched, "what fetch or scan returns")
    check_kind(None if isinstance(coded, str | bytes) else coded, "coded", Collection, "a list of array names")
    specs, rows = manifest.specs, fetched.rows
    return {
        name: specs[name].coded_rows(payloads, rows) if name in coded else specs[name].decode_many(payloads, rows)
        for name, payloads in fetched.payloads.items()
    }


def columns(path: Path, manifest: Manifest, arrays: Sequence[str] | None) -> dict[str, int]:
    """The number of each array in a record, by name; None: all. Raises: InputError for an array that there is not."""
    names = manifest.arrays if arrays is None else as_list(arrays, "arrays", "array names")
    for name in names:
        check_text(name, "arrays: a name")
        if name not in manifest.specs:
            raise InputError(f"store {path} has no array {name!r}; it holds {', '.join(manifest.arrays)}")
    return {name: manifest.arrays.index(name) for name in names}
