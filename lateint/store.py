"""A store that knows its model: `lateint_store.Store` with `add` for texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import lateint_store
from lateint_store import Entry

from lateint.errors import DuplicateDocument, StoreMismatch


class Store(lateint_store.Store):
    """An open store of document arrays; everything but `add_documents` works without torch."""

    def held(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that the store holds."""
        return set(ids) - set(self.fetch(ids, arrays=(), missing="skip").missing)

    def add(self, documents: Iterable[Any], model: Any = None) -> None:
        """Add documents, encoded by `model` (default: the model that the store records), a window a transaction.

        Takes `Document`s, or entries whose arrays are already computed.
        Raises: DuplicateDocument before anything of a window is written; StoreMismatch if the model made other arrays.
        """
        from lateint.compatible import check_model
        from lateint.encode import encode_window

        waiting = list(documents)
        if all(isinstance(document, Entry) for document in waiting):
            super().add(waiting)
            return
        model = model or recorded_model(self)
        check_model(model, self)
        if repeated := self.held([document.id for document in waiting]):
            raise DuplicateDocument(f"{self.path} already holds {sorted(repeated)[:3]!r}; delete them first")
        for start in range(0, len(waiting), self.manifest.window):
            super().add(encode_window(model, waiting[start : start + self.manifest.window], start).entries)


def open_store(path: str | os.PathLike[str], *, write: bool = False) -> Store:
    """Open a store; no torch and no model are needed. Sizes, counts and digests are checked.

    Raises: StoreNotFound, DamagedStore, StoreError, and with `write` SealedStore and StoreLocked.
    """
    return lateint_store.open_store(path, write=write, kind=Store)


def recorded_model(store: lateint_store.Store, **options: Any) -> Any:
    """Load the model that a store was built with, as far as its name still leads to it.

    Raises: StoreMismatch if that name gives another model now; ModelError if nothing is found.
    """
    from lateint.checkpoint import load_model
    from lateint.method import Method

    recorded = dict(store.manifest.model)
    name = recorded.get("name")
    if not isinstance(name, str):
        raise StoreMismatch(f"{store.path} does not say which model made it; name one with --model or model=")
    chosen = {} if recorded.get("checkpoint") else {"method": Method.from_json(recorded["method"])}
    return load_model(name, **chosen, **options)
