"""`ModelMatch`: a model that fits a store. It is checked again once something below the stored arrays may have changed."""

from __future__ import annotations

from collections.abc import Sequence

from lateint.indexing.compatibility import check_model
from lateint.model.changes import Watched
from lateint.model.model import Model
from lateint_store import Store

_BELOW = ("backbone", "compressor", "vector_map")  # modules that stored arrays may have passed through
_SETTINGS = ("method", "texts", "pool", "vector_pool", "precision")  # attributes of a model that are no modules


class ModelMatch:
    """A model that fits a store, as `check_model` says; it is checked again after a change below stored arrays.

    `Watched` says which changes are noticed.
    """

    def __init__(self, model: Model, store: Store, arrays: Sequence[str] | None = None) -> None:
        """Raises: StoreMismatch."""
        self._model, self._store, self._arrays = model, store, arrays
        self._seen: Watched | None = None
        self.check()

    def check(self) -> None:
        """Raises: StoreMismatch. Cost: some microseconds; after a change, that of `check_model`."""
        if self._seen is None or self._seen.changed():
            seen = watch_stored(self._model)  # before the check: what changes during it is noticed by the next
            check_model(self._model, self._store, self._arrays)
            self._seen = seen


def watch_stored(model: Model) -> Watched:
    """Watch what stored arrays depend on: modules below them, and settings."""
    top = [*_BELOW, *(["head"] if model.head.stored_tensors() else [])]
    modules = [module for name in top if (module := model._modules.get(name)) is not None]
    places = [(model.__dict__, name) for name in _SETTINGS] + [(model._modules, name) for name in top]
    return Watched(modules, places)
