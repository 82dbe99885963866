"""Run a ladder over one store: every head of a model reads the same stored entries."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from numbers import Real

from lateint.errors import InputError
from lateint.heads.cosine import Cosine
from lateint.heads.inputs import Query
from lateint.indexing.store import Store
from lateint.indexing.view import DocumentView
from lateint.model.model import Model
from lateint.ranking.aggregate import Aggregate
from lateint.ranking.candidates import StoredScorer
from lateint.ranking.ladder import Cost, Ladder, LadderPlan, Scored, merge_levels, parse_ladder
from lateint.results import Clock, Rung

_FEW, _MANY = 16, 128  # candidates of the two calls that a cost is fitted to
_REPEATS = 3
_NO_LIMIT = 1 << 62
_LONGEST_MS = sys.float_info.max


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
        """Check the arguments of a call. A budget without a ladder uses all heads, each as deep as the budget allows.

        Raises: InputError for a ladder that this model does not have, an invalid budget, or a budget before `warm_up`.
        """
        names = list(self.rungs)
        steps = tuple((name, _NO_LIMIT) for name in names[:-1]) if ladder is None else parse_ladder(ladder, names)
        if budget_ms is None:
            return LadderPlan(steps)
        if isinstance(budget_ms, bool) or not isinstance(budget_ms, Real) or not 0 < budget_ms <= _LONGEST_MS:
            raise InputError(f"budget_ms={budget_ms!r}; expected milliseconds above 0, or None for no limit")
        if not self.costs:
            raise InputError("budget_ms needs the measured cost of each head: call ranker.warm_up(query, doc_ids) once before")
        return LadderPlan(steps, budget_ms)

    def run(self, clock: Clock, query: Query, ids: Sequence[str], plan: LadderPlan) -> tuple[Scored, Sequence[str]]:
        """Return stored candidates with merged scores, best first, and the ids that the store lacks.

        All rungs read one snapshot of the store. If the budget is too small for the first rung, nothing is scored:
        candidates keep their given order.
        """
        with self.own.store.view() as view:
            return self._run(clock, query, ids, plan, view)

    def _run(
        self, clock: Clock, query: Query, ids: Sequence[str], plan: LadderPlan, view: DocumentView
    ) -> tuple[Scored, Sequence[str]]:
        names = [*(name for name, _ in plan.steps), self.model.method.head.name]
        if self._affordable(names, plan, clock) < len(ids):
            return _unscored(ids, set(view.sizes(ids)[0]))
        ordered, lacking = self._score(clock, query, ids, names[0], view)
        levels: list[Scored] = []
        for number, (_, keep) in enumerate(plan.steps, 1):
            depth = min(keep, self._affordable(names[number:], plan, clock))
            chosen = {doc_id for doc_id, _ in ordered[:depth]}
            passed = [doc_id for doc_id in ids if doc_id in chosen]  # given order: at full depth, the batches of no ladder
            levels.append(ordered[depth:])
            ordered = self._score(clock, query, passed, names[number], view)[0] if passed else []
            if not passed:
                break
        return merge_levels([*levels, ordered]), lacking

    def _affordable(self, rungs: Sequence[str], plan: LadderPlan, clock: Clock) -> int:
        """Return how many candidates the first of the remaining rungs can score in an equal share of the time left."""
        if plan.budget_ms is None:
            return _NO_LIMIT
        return self.costs[rungs[0]].most((plan.budget_ms - clock.elapsed_ms) / len(rungs))

    def _score(
        self, clock: Clock, query: Query, ids: Sequence[str], name: str, view: DocumentView
    ) -> tuple[Scored, Sequence[str]]:
        start = time.perf_counter()
        scored, lacking = self.rungs[name].score(clock, query, ids, view)
        clock.rungs.append(Rung(name, len(scored), 1e3 * (time.perf_counter() - start)))
        return sorted(scored, key=lambda pair: (-pair[1], pair[0])), lacking


def _unscored(ids: Sequence[str], held: set[str]) -> tuple[Scored, Sequence[str]]:
    known = [doc_id for doc_id in ids if doc_id in held]
    return [(doc_id, -float(i)) for i, doc_id in enumerate(known)], [doc_id for doc_id in ids if doc_id not in held]


def _best_ms(rung: StoredScorer, query: Query, ids: Sequence[str]) -> float:
    """Return the fastest of several calls after a first one, to exclude disturbances by other work."""
    rung.score(Clock(), query, ids)
    times = []
    for _ in range(_REPEATS):
        clock = Clock()
        rung.score(clock, query, ids)
        times.append(clock.elapsed_ms)
    return min(times)
