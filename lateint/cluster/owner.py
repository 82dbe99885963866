"""An owner: one member of a store set, its model on one torch thread, and scores by id. It knows nothing of networks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from lateint.cluster.messages import MemberScores, OwnerFault, OwnerReport, OwnerSetup, ScoreOrder
from lateint.errors import InputError, LateintError, ModelError, StoreError
from lateint.heads.inputs import Query
from lateint.indexing.fingerprint import fingerprint, head_digest
from lateint.indexing.store import Store, open_store, recorded_model
from lateint.loading.load import load_model
from lateint.model.digests import digest_json
from lateint.model.model import Model
from lateint.ranking.ladder import Cost
from lateint.ranking.ladder_scorer import LadderScorer
from lateint.ranking.ranker import Ranker
from lateint.results import Clock
from lateint_store.format.set_manifest import read_set

_QUERIES = 256  # encoded queries that are kept: each rung of a ladder asks for the same one
_WARM_UP = 128
_WARM_UP_QUERY = "what is a warm up query for"


class MemberOwner:
    """Scores the documents of one member. Safe to use from many threads at once; each computes on one torch thread.

    Raises: StoreNotFound, StoreMismatch, DamagedStore, ModelError, InputError, as opening and loading do.
    """

    def __init__(self, setup: OwnerSetup, member: int) -> None:
        self._threads = threading.local()
        self._use_one_thread()
        self.member = member
        self.store = _open_member(setup, member)
        self.model = _load(setup, self.store)
        ranker = Ranker(self.model, self.store, aggregate=setup.aggregate)
        self._scorer = LadderScorer(self.model, self.store, ranker.aggregate)
        self._queries: OrderedDict[str, Query] = OrderedDict()
        self._lock = threading.Lock()
        self._costs = self._warm_up()

    def report(self) -> OwnerReport:
        """Describe what is open. Cost: hashes the model's weights."""
        with self.store.view() as view:
            contents = tuple(view.contents())
        return OwnerReport(
            member=self.member,
            uuid=self.store.manifest.uuid,
            content=self.store.content_digest(),
            contents=contents,
            documents=len(self.store),
            manifest=self.store.manifest.to_json(),
            **digests(self.model),
            heads=tuple(self._scorer.rungs),
            costs=self._costs,
        )

    def score(self, order: ScoreOrder) -> MemberScores | OwnerFault:
        """Score the candidates that the member holds, from one snapshot; an error comes back as data."""
        self._use_one_thread()
        try:
            return self._score(order)
        except (LateintError, OSError) as error:
            return fault_of(error)

    def close(self) -> None:
        """Close the member."""
        self.store.close()

    def _score(self, order: ScoreOrder) -> MemberScores:
        clock = Clock()
        with clock.phase("compute"):
            state = self._query(order.query)
        with self.store.view() as view:
            content = view.content_digest()
            if order.head is None:
                scored = [(doc_id, 0.0) for doc_id in view.sizes(order.ids)[0]]
            elif order.head not in self._scorer.rungs:
                raise InputError(f"no head {order.head!r}; this model has: {', '.join(self._scorer.rungs)}")
            else:
                scored = self._scorer.rungs[order.head].score(clock, state, order.ids, view)[0]
        by_id = dict(scored)
        places = [place for place, doc_id in enumerate(order.ids) if doc_id in by_id]
        return MemberScores(
            np.array(places, np.int32),
            np.array([by_id[order.ids[place]] for place in places], np.float64),
            content,
            clock.timing(len(places), order.head or ""),
            int(state.rows.states.shape[1]),
            bool(state.cut),
        )

    def _query(self, text: str) -> Query:
        """Return the state of a query: the one that was computed for an earlier rung, or for the same words before."""
        with self._lock:
            if (kept := self._queries.get(text)) is not None:
                self._queries.move_to_end(text)
                return kept
        state = self.model.query(text)
        with self._lock:
            self._queries[text] = state
            if len(self._queries) > _QUERIES:
                self._queries.popitem(last=False)
        return state

    def _warm_up(self) -> dict[str, Cost]:
        """Load every kernel, check the id index, and measure the heads."""
        ids = list(islice(self.store.ids(), _WARM_UP))
        if self.store.chunks is not None:
            ids = list(dict.fromkeys(entry_id.rpartition("#")[0] for entry_id in ids))
        if len(ids) < 2:
            self.store.prepare()
            return {}
        return self._scorer.warm_up(_WARM_UP_QUERY, ids)

    def _use_one_thread(self) -> None:
        """Give this thread one torch thread; more of them made a query under load 30 times slower."""
        if not getattr(self._threads, "set", False):
            torch.get_num_threads()  # otherwise torch initialises this thread later, with another count
            torch.set_num_threads(1)
            self._threads.set = True


def digests(model: Model) -> Mapping[str, str]:
    """Return the digests of a model that owner and router compare, as `OwnerReport` names them."""
    return {"states": digest_json(fingerprint(model)), "head": head_digest(model)}


def fault_of(error: Exception) -> OwnerFault:
    """Describe an error; those of the request or the model come from every replica alike, those of a store may not."""
    kind = next(name.__name__ for name in type(error).__mro__ if name.__module__ == "lateint_store.errors" or name is OSError)
    everywhere = isinstance(error, InputError | ModelError) and not isinstance(error, StoreError)
    return OwnerFault(kind, str(error), everywhere)


def _open_member(setup: OwnerSetup, member: int) -> Store:
    """Open one member by its number. Raises: StoreNotFound, InputError, StoreMismatch."""
    folder = Path(setup.store)
    about = read_set(folder)
    if about is None or member >= len(about.members):
        raise InputError(f"{folder} has no member {member}; expected the set that is served, with all its members")
    return open_store(folder / about.members[member].path)


def _load(setup: OwnerSetup, store: Store) -> Model:
    precision = setup.precision or "float32"  # the same on all nodes, whose processors may differ
    if setup.model is None:
        return recorded_model(store, device=setup.device, dtype=setup.dtype, precision=precision, threads=1)
    return load_model(setup.model, device=setup.device, dtype=setup.dtype, precision=precision, threads=1)
