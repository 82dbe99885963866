"""Run a ladder over one store: every head of a model reads the same stored entries."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lateint.errors import InputError
from lateint.heads.cosine import Cosine
from lateint.heads.inputs import Query
from lateint.indexing.store import Store
from lateint.indexing.view import DocumentView
from lateint.model.model import Model
from lateint.ranking.aggregate import Aggregate
from lateint.ranking.candidates import StoredScorer
from lateint.ranking.ladder import Cost, Ladder, LadderPlan, Scored, affordable, climb, make_plan
from lateint.results import Clock, Rung

_FEW, _MANY = 16, 128  # candidates of the two calls that a cost is fitted to
_REPEATS = 3


def models_by_head(model: Model) -> dict[str, Model]:
    """Return the same model under each head that can score its stored arrays, from cheapest to most expensive.

    `cosine` if entries have a vector, `evidence` if the model's head contains it, and the model's own head.
    """
    views: dict[str, Model] = {}
    if "vector" in model.arrays:
        views["cosine"] = model.with_head(Cosine(model.backbone, model.method, normalise=model.vector_map is not None))
    if (evidence := model.head.evidence_term()) is not None:
        views["evidence"] = model.with_head(evidence)
    own = model.method.head.name
    views.pop(own, None)
    return views | {own: model}


class LadderScorer:
    """Score candidates with the heads of a model over one store.

    `warm_up` measures what each head costs; ranking only reads these costs.
    """

    def __init__(self, model: Model, store: Store, aggregate: Aggregate) -> None:
        self.rungs = {name: StoredScorer(view, store, aggregate) for name, view in models_by_head(model).items()}
        self.costs: dict[str, Cost] = {}
        self.model = model

    @property
    def own(self) -> StoredScorer:
        """The scorer with the model's own head."""
        return self.rungs[self.model.method.head.name]

    def warm_up(self, query: str, ids: Sequence[str]) -> dict[str, Cost]:
        """Prepare the store, and measure the cost of each head on up to 128 of its documents.

        Raises: InputError for fewer than two documents.
        """
        if len(ids) < 2:
            raise InputError(f"warming up on {len(ids)} documents; expected at least 2, better {_MANY} or more")
        self.own.store.prepare()
        large = list(ids[:_MANY])
        small = large[: min(_FEW, len(large) // 2)]
        state = self.model.query(query)
        self.costs = {
            name: Cost.fit(*((len(sample), _best_ms(rung, state, sample)) for sample in (small, large)))
            for name, rung in self.rungs.items()
        }
        return dict(self.costs)

    def plan(self, ladder: Ladder | None, budget_ms: float | None) -> LadderPlan:
        """Check the arguments of a call, as `make_plan`. Raises: InputError."""
        return make_plan(ladder, budget_ms, list(self.rungs), self.costs)

    def run(self, clock: Clock, query: Query, ids: Sequence[str], plan: LadderPlan) -> tuple[Scored, Sequence[str]]:
        """Return stored candidates with merged scores, best first, and the ids that the store lacks.

        All rungs read one snapshot of the store. If the budget is too small for the first rung, nothing is scored:
        candidates keep their given order.
        """
        run = climb(ids, plan, self.model.method.head.name, lambda rungs: affordable(rungs, plan, self.costs, clock.elapsed_ms))
        with self.own.store.view() as view:
            (name, wanted), lacking = next(run), None
            while True:
                scored, absent = self._score(clock, query, wanted, name, view)
                lacking = absent if lacking is None else lacking
                try:
                    name, wanted = run.send(scored)
                except StopIteration as end:
                    return end.value, lacking

    def _score(
        self, clock: Clock, query: Query, ids: Sequence[str], name: str | None, view: DocumentView
    ) -> tuple[Scored, Sequence[str]]:
        if name is None:
            held = view.sizes(ids)[0]
            return [(doc_id, 0.0) for doc_id in held], [doc_id for doc_id in ids if doc_id not in held]
        start = time.perf_counter()
        scored, lacking = self.rungs[name].score(clock, query, ids, view)
        clock.rungs.append(Rung(name, len(scored), 1e3 * (time.perf_counter() - start)))
        return scored, lacking


def _best_ms(rung: StoredScorer, query: Query, ids: Sequence[str]) -> float:
    """Return the fastest of several calls after a first one, to exclude disturbances by other work."""
    rung.score(Clock(), query, ids)
    times = []
    for _ in range(_REPEATS):
        clock = Clock()
        rung.score(clock, query, ids)
        times.append(clock.elapsed_ms)
    return min(times)
