"""A store that knows its model: `lateint_store.Store` with `add` for texts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import lateint_store
from lateint.errors import DuplicateDocument, InputError, MissingDocument, StoreMismatch
from lateint.indexing.chunks import COUNT, Chunks, chunk_id
from lateint_store import Entry


class Store(lateint_store.Store):
    """An open store of document arrays; everything but `add_documents` works without torch."""

    @property
    def chunks(self) -> Chunks | None:
        """How documents were cut into entries `id#k`; None if an entry is a document."""
        recorded = self.manifest.fingerprint.get(COUNT)
        return None if recorded is None else Chunks.parse(recorded)

    def first_id(self, doc_id: str) -> str:
        """The id of a document's first entry."""
        return doc_id if self.chunks is None else chunk_id(doc_id, 0)

    def held(self, ids: Sequence[str]) -> set[str]:
        """Those of the documents that the store holds."""
        return set(self.sizes(ids)[0])

    def sizes(self, ids: Sequence[str]) -> tuple[dict[str, int], int]:
        """How many entries each of some documents has, for those that the store holds, and the bytes read for it.

        Cost: a look-up of the first entry of each, which records it.
        """
        raw = self.fetch([self.first_id(i) for i in ids], arrays=() if self.chunks is None else (COUNT,), missing="skip")
        counts = [1] * len(raw) if self.chunks is None else self.decode(raw)[COUNT].values.reshape(-1).tolist()
        return {ids[int(place)]: n for place, n in zip(raw.positions.tolist(), counts, strict=True)}, raw.bytes_read

    def entry_ids(self, sizes: dict[str, int]) -> list[str]:
        """Ids of the entries of documents whose sizes are known, document by document."""
        return list(sizes) if self.chunks is None else [chunk_id(doc_id, k) for doc_id, n in sizes.items() for k in range(n)]

    def delete(self, ids: Sequence[str]) -> None:
        """Delete documents, with all their chunks; their bytes stay until `compact`.

        Raises: MissingDocument before anything changes.
        """
        if self.chunks is None:
            super().delete(ids)
            return
        sizes, _ = self.sizes(ids)
        if absent := [doc_id for doc_id in ids if doc_id not in sizes]:
            raise MissingDocument(f"store {self.path} holds no document {absent[0]!r} ({len(absent)} of {len(ids)} missing)")
        super().delete(self.entry_ids(sizes))

    def add(self, documents: Iterable[Any], model: Any = None) -> None:
        """Add documents, encoded by `model` (default: the model that the store records), a window a transaction.

        Takes `Document`s, or entries whose arrays are already computed.
        Raises: DuplicateDocument before anything is written; StoreMismatch if the model made other arrays; InputError
        before anything of a window is written; StoreError if the store was opened for reading.
        """
        self._check_writable()
        waiting = list(documents)
        if all(isinstance(document, Entry) for document in waiting):
            super().add(waiting)
            return
        from lateint.indexing.compatibility import check_model
        from lateint.indexing.encoding import encode_window
        from lateint.model.document import Document

        if odd := [document for document in waiting if not isinstance(document, Document)]:
            raise InputError(f"{type(odd[0]).__name__} among the documents to add; expected Document for all, or Entry for all")
        ids = [document.id for document in waiting]
        if repeated := [doc_id for doc_id, times in Counter(ids).items() if times > 1]:
            raise DuplicateDocument(f"{repeated[:3]!r} stand twice among the documents to add; expected each id once")
        model = recorded_model(self) if model is None else model
        check_model(model, self)
        if known := self.held(ids):
            raise DuplicateDocument(f"{self.path} already holds {sorted(known)[:3]!r}; delete them first")
        for start in range(0, len(waiting), self.manifest.window):
            super().add(encode_window(model, waiting[start : start + self.manifest.window], start, self.chunks).entries)


def open_store(path: str | os.PathLike[str], *, write: bool = False) -> Store:
    """Open a store; no torch and no model are needed. Sizes, counts and digests are checked.

    Raises: StoreNotFound, DamagedStore, StoreError, and with `write` SealedStore and StoreLocked.
    """
    opened: Store = lateint_store.open_store(path, write=write, kind=Store)
    return opened


def recorded_model(store: lateint_store.Store, **options: Any) -> Any:
    """Load the model that a store was built with, in its precision, as far as its name still leads to it.

    Whether that name still gives the same weights is checked where model and store meet (`Ranker`, `add`).
    Raises: StoreMismatch if the store names no model; ModelError if nothing is found.
    """
    from lateint.loading.load import load_model
    from lateint.loading.shipped import FORMER
    from lateint.methods.method import Method

    recorded = dict(store.manifest.model)
    name = recorded.get("name")
    if not isinstance(name, str):
        raise StoreMismatch(f"{store.path} does not say which model made it; name one with --model or model=")
    method = Method.from_json(recorded["method"])
    options["dtype"] = options.get("dtype") or store.manifest.fingerprint.get("dtype")
    options |= {"query_max_length": method.query.max_length, "doc_max_length": method.document.max_length}
    if recorded.get("checkpoint"):
        return load_model(FORMER.get(name, name), **options)
    return load_model(name, method, **options)
