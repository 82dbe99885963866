"""`DocumentView`: documents of a store as of one moment, whole or in chunks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

import lateint_store
from lateint.errors import DamagedStore, InputError
from lateint.indexing.chunks import COUNT, MAX_CHUNKS, Chunks, chunk_id
from lateint_store import Fetched, Manifest
from lateint_store.arguments import as_list


def recorded_chunks(path: Path, manifest: Manifest) -> Chunks | None:
    """How documents were cut into entries `id#k`; None if each entry is a whole document. Raises: DamagedStore."""
    recorded = manifest.fingerprint.get(COUNT)
    try:
        return None if recorded is None else Chunks.parse(recorded)
    except InputError as error:
        raise DamagedStore(str(path), f"its fingerprint records {error}") from error


def entry_ids(chunks: Chunks | None, sizes: Mapping[str, int]) -> list[str]:
    """The ids of all entries of documents with known sizes, document by document."""
    return list(sizes) if chunks is None else [chunk_id(doc_id, k) for doc_id, n in sizes.items() for k in range(n)]


class DocumentView(lateint_store.View):
    """Reads of one snapshot of a store, as `lateint_store.View`, that know which entries are chunks of a document."""

    @property
    def chunks(self) -> Chunks | None:
        """How documents were cut into entries `id#k`; None if each entry is a whole document."""
        return recorded_chunks(self.path, self.manifest)

    def sizes(self, ids: Iterable[str]) -> tuple[dict[str, int], int]:
        """Return the number of entries of each document that the store holds, and the bytes read to find it.

        Cost: a look-up of the first entry of each document, which records the number.
        """
        ids = as_list(ids, "ids", "ids")
        if self.chunks is None:
            raw = self.fetch(ids, arrays=(), missing="skip")
            counts = [1] * len(raw)
        else:
            raw = self.fetch([chunk_id(doc_id, 0) for doc_id in ids], arrays=(COUNT,), missing="skip")
            counts = self._chunk_counts(raw)
        return {ids[int(index)]: n for index, n in zip(raw.positions.tolist(), counts, strict=True)}, raw.bytes_read

    def _chunk_counts(self, raw: Fetched) -> list[int]:
        """Return the number of chunks of each document. Raises: DamagedStore for a number that no document has."""
        counts = self.decode(raw)[COUNT].values.reshape(-1)
        wrong = np.flatnonzero((counts < 1) | (counts > MAX_CHUNKS))
        if len(wrong):
            reason = f"it records {counts[wrong[0]]} chunks; expected 1 to {MAX_CHUNKS}"
            raise DamagedStore(str(self.path), reason, doc_id=raw.ids[wrong[0]])
        found: list[int] = counts.tolist()
        return found

    def entry_ids(self, sizes: Mapping[str, int]) -> list[str]:
        """Return the ids of all entries of documents with known sizes, document by document."""
        return entry_ids(self.chunks, sizes)
