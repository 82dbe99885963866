"""A store that knows its model: `lateint_store.Store` with `add` for texts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import lateint_store
from lateint.errors import DuplicateDocument, InputError, StoreMismatch
from lateint_store import Entry


class Store(lateint_store.Store):
    """An open store of document arrays; everything but `add_documents` works without torch."""

    def held(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that the store holds."""
        return set(ids) - set(self.fetch(ids, arrays=(), missing="skip").missing)

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
        from lateint.compatible import check_model
        from lateint.encode import encode_window
        from lateint.model import Document

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
            super().add(encode_window(model, waiting[start : start + self.manifest.window], start).entries)


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
    from lateint.checkpoint import load_model
    from lateint.method import Method

    recorded = dict(store.manifest.model)
    name = recorded.get("name")
    if not isinstance(name, str):
        raise StoreMismatch(f"{store.path} does not say which model made it; name one with --model or model=")
    method = Method.from_json(recorded["method"])
    options["dtype"] = options.get("dtype") or store.manifest.fingerprint.get("dtype")
    options |= {"query_max_length": method.query.max_length, "doc_max_length": method.document.max_length}
    return load_model(name, None if recorded.get("checkpoint") else method, **options)
