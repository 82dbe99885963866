"""The engine of a service: a model over an open store, warmed up, and how its scores become those that are sent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lateint.indexing.chunks import Chunks
from lateint.indexing.store import Store, open_store, recorded_model
from lateint.loading.load import load_model
from lateint.model.activation import Sigmoid
from lateint.model.model import Model
from lateint.ranking.cascade import Cascade, CascadeStep
from lateint.ranking.ladder import Cost
from lateint.ranking.ranker import Ranker
from lateint.serving.caching import CachingRanker
from lateint.serving.options import ServeOptions
from lateint_store.arguments import parse_count
from lateint_store.errors import InputError, StoreMismatch, StoreNotFound
from lateint_store.format.manifest import Manifest

_WARM_UP = 128  # documents that costs are measured on
_QUERY = "what is a warm up query for"


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What is served: where it lies, and what it holds now."""

    path: Path
    documents: int
    content_digest: str
    manifest: Manifest
    chunks: Chunks | None


@dataclass(frozen=True, slots=True)
class BaseEngine(ABC):
    """What engines share. `ranker`: the first one; it encodes texts, and scores what no later ranker does."""

    ranker: Ranker

    @property
    def model(self) -> Model:
        """The model of the first ranker."""
        return self.ranker.model

    @property
    def rankers(self) -> list[Ranker]:
        """All rankers, the first one first."""
        return [self.ranker]

    @property
    def last_model(self) -> Model:
        """The model whose scores the best results have."""
        return self.rankers[-1].model

    @property
    def problem(self) -> str | None:
        """Why the engine cannot rank all candidates now; None if it can."""
        return None

    @property
    def scorers(self) -> float | None:
        """How many requests can be scored at once, if other machines do it."""
        return None

    def scores(self, logits: Sequence[float]) -> list[float]:
        """Map logits to numbers from 0 to 1, in float64, so that different logits stay different as long as possible.

        With the sigmoid that the checkpoint records; a plain one if it records another activation or none.
        """
        recorded = self.last_model.activation
        scale, shift = (recorded.scale, recorded.shift) if isinstance(recorded, Sigmoid) else (1.0, 0.0)
        with np.errstate(over="ignore"):  # the sigmoid of a very small number is 0
            values: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-(np.array(logits, dtype=np.float64) * scale + shift)))
        found: list[float] = values.tolist()
        return found

    @abstractmethod
    def facts(self) -> StoreFacts:
        """Describe the store as it is now."""

    @abstractmethod
    def prepare(self) -> None:
        """Prepare all stores after a change. Raises: DamagedStore, StoreMismatch."""

    @abstractmethod
    def is_current(self) -> bool:
        """Return whether every store is still the one at its path."""

    @abstractmethod
    def close(self) -> None:
        """Close all that is open."""


@dataclass(frozen=True, slots=True)
class Engine(BaseEngine):
    """A ranker over a store, and the cascade behind it if there is one.

    costs: of each head, cheapest first; empty for a store of fewer than two documents, which `budget_ms` then refuses.
    """

    store: Store
    cascade: Cascade | None
    costs: dict[str, Cost]

    @property
    def rankers(self) -> list[Ranker]:
        """The first ranker, and those of the cascade."""
        return [self.ranker, *(ranker for ranker, _ in (() if self.cascade is None else self.cascade.then))]

    @property
    def heads(self) -> list[str]:
        """Names of the heads, cheapest first."""
        return list(self.costs) or [self.model.method.head.name]

    @property
    def stores(self) -> list[Store]:
        """All stores, that of the first ranker first."""
        return [self.store, *(ranker.store for ranker in self.rankers[1:] if ranker.store is not None)]

    def facts(self) -> StoreFacts:
        """Describe the first store."""
        store = self.store
        return StoreFacts(store.path, len(store), store.content_digest(), store.manifest, store.chunks)

    def prepare(self) -> None:
        """Prepare all stores after a change. Raises: DamagedStore, StoreMismatch."""
        for store in self.stores:
            store.prepare()

    def is_current(self) -> bool:
        """Return whether every store is still the one at its path."""
        try:
            for store in self.stores:
                store.check()
        except (StoreMismatch, StoreNotFound):
            return False
        return True

    def close(self) -> None:
        """Close all stores."""
        for store in self.stores:
            store.close()


def load_engine(options: ServeOptions) -> Engine:
    """Open the stores, load the models on one torch thread, and warm up.

    Raises: StoreMismatch for a store that another model wrote, and what `open_store` and `load_model` raise.
    """
    store = open_store(options.store)
    if options.model is None:
        model = recorded_model(store, **_loading(options))
    else:
        model = load_model(options.model, **_loading(options))
    return make_engine(model, store, options)


def _loading(options: ServeOptions) -> dict[str, Any]:
    """How to load a model, whichever it is; on one torch thread, as requests run side by side."""
    return {"device": options.device, "dtype": options.dtype, "precision": options.precision, "threads": 1}


def make_engine(model: Model, store: Store, options: ServeOptions, steps: Sequence[CascadeStep] | None = None) -> Engine:
    """Make the engine of a loaded model over an open store, and warm up. `steps`: those of the cascade, if they are open.

    Raises: StoreMismatch, InputError, and what opening the further stores raises.
    """
    torch.set_num_threads(1)
    ranker = CachingRanker(model, store, aggregate=options.aggregate)
    if steps is None:
        steps = [_step(text, options) for text in options.then]
    cascade = Cascade(ranker, *steps) if steps else None
    return Engine(ranker, store, cascade, _warmed_up(ranker if cascade is None else cascade, store))


def reopened(engine: Engine, options: ServeOptions) -> Engine:
    """Open the stores again that are at the paths now, under the loaded models; of a URL, its local copy.

    Raises: StoreMismatch, StoreNotFound.
    """
    steps: list[CascadeStep] = []
    for ranker, depth in engine.cascade.then if engine.cascade is not None else ():
        assert ranker.store is not None
        steps.append((CachingRanker(ranker.model, open_store(ranker.store.path)), depth))
    return make_engine(engine.model, open_store(engine.store.path), options, steps)


def _step(text: str, options: ServeOptions) -> CascadeStep:
    """Read STORE:DEPTH. Raises: InputError."""
    path, colon, depth = text.rpartition(":")
    number = parse_count(depth)
    if not colon or number is None:
        raise InputError(f"then {text!r}: expected STORE:DEPTH, e.g. teacher-store:10")
    store = open_store(path)
    return CachingRanker(recorded_model(store, **_loading(options)), store), number


def _warmed_up(ranker: Ranker | Cascade, store: Store) -> dict[str, Cost]:
    """Load every kernel, measure the heads, and rank once; without costs for a store of fewer than two documents."""
    ids = list(islice(store.ids(), _WARM_UP))
    if store.chunks is not None:
        ids = list(dict.fromkeys(entry_id.rpartition("#")[0] for entry_id in ids))
    costs: dict[str, Cost] = {}
    if len(ids) < 2:
        store.prepare()
    else:
        costs = ranker.warm_up(_QUERY, ids)
    if ids:
        ranker.rank(_QUERY, ids)
    ranker.rank(_QUERY, ids, documents=[_QUERY], missing="encode")
    return costs


def shown_name(name: str) -> str:
    """Return the name of a model or a store without the folders that it is in."""
    return Path(name).name or name
