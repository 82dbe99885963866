"""`DocumentView`: documents of a store as of one moment, whole or in chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import lateint_store
from lateint.indexing.chunks import COUNT, Chunks, chunk_id
from lateint_store import Manifest


def recorded_chunks(manifest: Manifest) -> Chunks | None:
    """How documents were cut into entries `id#k`; None if each entry is a whole document."""
    recorded = manifest.fingerprint.get(COUNT)
    return None if recorded is None else Chunks.parse(recorded)


def entry_ids(chunks: Chunks | None, sizes: Mapping[str, int]) -> list[str]:
    """The ids of all entries of documents with known sizes, document by document."""
    return list(sizes) if chunks is None else [chunk_id(doc_id, k) for doc_id, n in sizes.items() for k in range(n)]


class DocumentView(lateint_store.View):
    """Reads of one snapshot of a store, as `lateint_store.View`, that know which entries are chunks of a document."""

    @property
    def chunks(self) -> Chunks | None:
        """How documents were cut into entries `id#k`; None if each entry is a whole document."""
        return recorded_chunks(self.manifest)

    def sizes(self, ids: Sequence[str]) -> tuple[dict[str, int], int]:
        """Return the number of entries of each document that the store holds, and the bytes read to find it.

        Cost: a look-up of the first entry of each document, which records the number.
        """
        if self.chunks is None:
            raw = self.fetch(ids, arrays=(), missing="skip")
            counts = [1] * len(raw)
        else:
            raw = self.fetch([chunk_id(doc_id, 0) for doc_id in ids], arrays=(COUNT,), missing="skip")
            counts = self.decode(raw)[COUNT].values.reshape(-1).tolist()
        return {ids[int(index)]: n for index, n in zip(raw.positions.tolist(), counts, strict=True)}, raw.bytes_read

    def entry_ids(self, sizes: Mapping[str, int]) -> list[str]:
        """Return the ids of all entries of documents with known sizes, document by document."""
        return entry_ids(self.chunks, sizes)
