"""The ladder: cheap heads look at all candidates, each passes its best on to a dearer one. One store serves every rung."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lateint.errors import InputError
from lateint.heads.cosine import Cosine
from lateint.heads.inputs import Query
from lateint.indexing.store import Store
from lateint.model.model import Model
from lateint.ranking.aggregate import Aggregate
from lateint.ranking.candidates import StoredScorer
from lateint.results import Clock, Rung

Scored = list[tuple[str, float]]
Steps = tuple[tuple[str, int], ...]
"""Heads by name with how many candidates each passes on; the model's own head takes what the last one passes."""


def heads(model: Model) -> dict[str, Model]:
    """The heads that score this model's stored arrays, the cheapest first: the same model under each of them.

    `cosine` of the vectors, where entries have one; `evidence`, where it is a part of the model's head; the model's own.
    """
    found: dict[str, Model] = {}
    if "vector" in model.arrays:
        found["cosine"] = _under(model, Cosine(model.backbone, model.method, normalise=model.vector_map is not None))
    if (evidence := getattr(model.head, "evidence", None)) is not None:
        found["evidence"] = _under(model, evidence)
    own = model.method.head.name
    found.pop(own, None)
    return found | {own: model}


def _under(model: Model, head: Any) -> Model:
    """The same weights, shared, with another head."""
    other = copy.copy(model)
    other._modules = {**model._modules, "head": head.to(model.device)}
    return other


def parse_ladder(text: str | Sequence[tuple[str, int]], known: Sequence[str]) -> Steps:
    """Read `cosine:200,evidence:50`, or pairs of the same. `known`: names of heads, the model's own last.

    Raises: InputError for a head that the model does not have, one out of order, or a depth below 1 or above the one before.

    >>> parse_ladder("cosine:200", ["cosine", "cross_blocks"])
    (('cosine', 200),)
    """
    steps = tuple(_pairs(text)) if isinstance(text, str) else tuple((name, depth) for name, depth in text)
    *below, own = known
    for name, depth in steps:
        if name not in below:
            raise InputError(f"ladder {text!r}: no rung {name!r}; below {own!r} this model has: {', '.join(below) or 'none'}")
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
            raise InputError(f"ladder {text!r}: {name!r} passes {depth!r} on; expected a whole number from 1 on")
    places, depths = [below.index(name) for name, _ in steps], [depth for _, depth in steps]
    if places != sorted(set(places)) or depths != sorted(depths, reverse=True):
        raise InputError(f"ladder {text!r}: expected rungs in the order {', '.join(below)}, each once, with falling depths")
    return steps


def _pairs(text: str) -> Iterator[tuple[str, int]]:
    for piece in text.split(","):
        name, colon, depth = piece.strip().partition(":")
        if not colon or not depth.isascii() or not depth.isdecimal():
            raise InputError(f"ladder {text!r}: {piece!r} is no rung; expected head:depth, e.g. cosine:200")
        yield name, int(depth)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a rung takes: milliseconds of a call, and for every candidate."""

    call_ms: float
    candidate_ms: float

    def most(self, budget_ms: float) -> int:
        """Candidates that fit a budget."""
        return max(0, int((budget_ms - self.call_ms) / max(self.candidate_ms, 1e-9)))


def measured(small: tuple[int, float], large: tuple[int, float]) -> Cost:
    """The cost that two calls show, each so many candidates in so many milliseconds."""
    each = max(0.0, (large[1] - small[1]) / max(1, large[0] - small[0]))
    return Cost(max(0.0, small[1] - each * small[0]), each)


def stacked(levels: Sequence[Scored]) -> Scored:
    """One list, best first, of what each rung scored and did not pass on; the first rung's first, each best first.

    Who was passed on stands above who was not. Scores of different heads cannot be compared: those of a lower rung are
    moved down together, to one below the worst above, and keep their distances.
    """
    out: Scored = []
    for level in reversed(levels):
        down = max(0.0, level[0][1] - (out[-1][1] - 1)) if out and level else 0.0
        out += [(doc_id, score - down) for doc_id, score in level]
    return out


FEW, MANY = 16, 128  # candidates of the two calls that a cost is measured by

REPEATS = 3

NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class LadderPlan:
    """How one call climbs: depths of the rungs below the model's own head, and the milliseconds of the whole call."""

    steps: Steps
    budget_ms: float | None = None


class LadderScorer:
    """The heads of a model over one store. Costs are measured by `warm_up`, and only read while ranking."""

    def __init__(self, model: Model, store: Store, aggregate: Aggregate) -> None:
        self.rungs = {name: StoredScorer(view, store, aggregate) for name, view in heads(model).items()}
        self.costs: dict[str, Cost] = {}
        self.model = model

    @property
    def own(self) -> StoredScorer:
        """The model's own head."""
        return self.rungs[self.model.method.head.name]

    def warm_up(self, query: str, ids: Sequence[str]) -> dict[str, Cost]:
        """Load every kernel and measure what each rung costs, on up to 128 of some documents of the store.

        Raises: InputError for fewer than two documents.
        """
        if len(ids) < 2:
            raise InputError(f"warming up on {len(ids)} documents; expected at least 2, better {MANY} or more")
        self.own.store.load_kernels()
        large = list(ids[:MANY])
        small = large[: min(FEW, len(large) // 2)]
        state = self.model.query(query)
        self.costs = {
            name: measured(*((len(some), _best_ms(rung, state, some)) for some in (small, large)))
            for name, rung in self.rungs.items()
        }
        return dict(self.costs)

    def plan(self, ladder: str | Sequence[tuple[str, int]] | None, budget_ms: float | None) -> LadderPlan:
        """What a call asks for. Without a ladder a budget uses all rungs, each as deep as it allows.

        Raises: InputError for a ladder that this model does not have, and a budget that is no time or not measured yet.
        """
        names = list(self.rungs)
        steps = tuple((name, NO_LIMIT) for name in names[:-1]) if ladder is None else parse_ladder(ladder, names)
        if budget_ms is None:
            return LadderPlan(steps)
        if not budget_ms > 0 or math.isinf(budget_ms):
            raise InputError(f"budget_ms={budget_ms}; expected milliseconds above 0, or None for no limit")
        if not self.costs:
            raise InputError("budget_ms needs to know what a rung costs: call ranker.warm_up(query, doc_ids) once before")
        return LadderPlan(steps, budget_ms)

    def climb(self, clock: Clock, query: Query, ids: Sequence[str], how: LadderPlan) -> tuple[Scored, Sequence[str]]:
        """Candidates that the store holds, scored and stacked, and the ids that it lacks.

        A budget too small for the first rung scores nothing: candidates keep the order in which they were given.
        """
        names = [*(name for name, _ in how.steps), self.model.method.head.name]
        if self._deepest(names, how, clock) < len(ids):
            return _unscored(ids, self.own.store.held(ids))
        ordered, lacking = self._score(clock, query, ids, names[0])
        levels: list[Scored] = []
        for number, (_, keep) in enumerate(how.steps, 1):
            depth = min(keep, self._deepest(names[number:], how, clock))
            chosen = {doc_id for doc_id, _ in ordered[:depth]}
            passed = [doc_id for doc_id in ids if doc_id in chosen]  # as given: at full depth batches are as without a ladder
            levels.append(ordered[depth:])
            ordered = self._score(clock, query, passed, names[number])[0] if passed else []
            if not passed:
                break
        return stacked([*levels, ordered]), lacking

    def _deepest(self, rungs: Sequence[str], how: LadderPlan, clock: Clock) -> int:
        """How many candidates the first of these rungs may score: an equal share of the time left, the last one all of it."""
        if how.budget_ms is None:
            return NO_LIMIT
        return self.costs[rungs[0]].most((how.budget_ms - clock.elapsed_ms) / len(rungs))

    def _score(self, clock: Clock, query: Query, ids: Sequence[str], name: str) -> tuple[Scored, Sequence[str]]:
        start = time.perf_counter()
        scored, lacking = self.rungs[name].score(clock, query, ids)
        clock.rungs.append(Rung(name, len(scored), 1e3 * (time.perf_counter() - start)))
        return sorted(scored, key=lambda pair: (-pair[1], pair[0])), lacking


def _unscored(ids: Sequence[str], held: set[str]) -> tuple[Scored, Sequence[str]]:
    known = [doc_id for doc_id in ids if doc_id in held]
    return [(doc_id, -float(place)) for place, doc_id in enumerate(known)], [doc_id for doc_id in ids if doc_id not in held]


def _best_ms(rung: StoredScorer, state: Query, ids: Sequence[str]) -> float:
    """The fastest of some calls after a first one: what the work takes, not what disturbs it."""
    rung.score(Clock(), state, ids)
    found = []
    for _ in range(REPEATS):
        clock = Clock()
        rung.score(clock, state, ids)
        found.append(clock.elapsed_ms)
    return min(found)
