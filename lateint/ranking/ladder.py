"""Ladders: cheap heads score all candidates, and each passes its best on to a more expensive head.

This module has the data of a ladder run: its steps, its budget, the cost of a head, and how scores of several heads become
one list; and its decisions, `climb`. Whoever has the scores runs it: `ladder_scorer.py` over one store, the router of a
cluster over the owners of a set.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

from lateint.errors import InputError
from lateint_store.arguments import as_list, parse_count

Scored = list[tuple[str, float]]
"""Document ids with their scores."""
Steps = tuple[tuple[str, int], ...]
"""Names of heads, each with the number of candidates that it passes on; the last one passes them to the model's own head."""
Ladder = str | Sequence[tuple[str, int]]
"""A ladder as a caller writes it: `cosine:200,evidence:50`, or pairs of the same."""
Wanted = tuple[str | None, Sequence[str]]
"""A head, and the candidates that it is to score; no head: only say which of the candidates there are, with any score."""

NO_LIMIT = 1 << 62
_LONGEST_MS = sys.float_info.max


@dataclass(frozen=True, slots=True)
class LadderPlan:
    """One ladder run: steps below the model's own head, and a budget in milliseconds for the whole call."""

    steps: Steps
    budget_ms: float | None = None


def parse_ladder(ladder: Ladder, known: Sequence[str]) -> Steps:
    """Read `cosine:200,evidence:50`, or pairs of the same. `known`: names of the model's heads, its own last.

    Raises: InputError for an unknown head, heads out of order, or a depth below 1 or above the one before.

    >>> parse_ladder("cosine:200", ["cosine", "cross_blocks"])
    (('cosine', 200),)
    """
    steps = tuple(_pairs(ladder) if isinstance(ladder, str) else _read_steps(ladder))
    *below, own = known
    for name, depth in steps:
        if name not in below:
            raise InputError(f"ladder {ladder!r}: no rung {name!r}; below {own!r} this model has: {', '.join(below) or 'none'}")
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
            raise InputError(f"ladder {ladder!r}: depth of {name!r} is {depth!r}; expected a whole number of at least 1")
    order, depths = [below.index(name) for name, _ in steps], [depth for _, depth in steps]
    if order != sorted(set(order)) or depths != sorted(depths, reverse=True):
        raise InputError(f"ladder {ladder!r}: expected rungs in the order {', '.join(below)}, each once, with falling depths")
    return steps


def _pairs(text: str) -> Iterator[tuple[str, int]]:
    for piece in text.split(","):
        name, colon, depth = piece.strip().partition(":")
        number = parse_count(depth)
        if not colon or number is None:
            raise InputError(f"ladder {text!r}: {piece!r} is not a rung; expected head:depth, e.g. cosine:200")
        yield name, number


def _read_steps(ladder: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    for step in as_list(ladder, "ladder", "(head, depth) pairs"):
        if not isinstance(step, tuple | list) or len(step) != 2:
            raise InputError(f"ladder {ladder!r}: {step!r} is not a rung; expected a pair (head, depth)")
        yield step[0], step[1]


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a head: milliseconds per call, and per candidate."""

    call_ms: float
    candidate_ms: float

    @classmethod
    def fit(cls, small: tuple[int, float], large: tuple[int, float]) -> Cost:
        """Fit a line through two calls, each given as (candidates, milliseconds)."""
        each = max(0.0, (large[1] - small[1]) / max(1, large[0] - small[0]))
        return cls(max(0.0, small[1] - each * small[0]), each)

    def most(self, budget_ms: float) -> int:
        """Return how many candidates fit into a budget, at most 2**62."""
        fit = (budget_ms - self.call_ms) / max(self.candidate_ms, 1e-9)  # infinite for the largest budgets
        return int(min(max(0.0, fit), 1 << 62))


def merge_levels(levels: Sequence[Scored]) -> Scored:
    """Merge the levels of a ladder run into one list, best first. A level: the candidates that a rung did not pass on.

    `levels`: the first rung first, each sorted from best to worst. A candidate that was passed on ranks above all that were
    not. Scores of different heads cannot be compared: if the best score of a lower level is too high, the whole level is
    shifted to one below the worst score above it. Distances within a level stay.
    """
    merged: Scored = []
    for level in reversed(levels):
        shift = max(0.0, level[0][1] - (merged[-1][1] - 1)) if merged and level else 0.0
        merged += [(doc_id, score - shift) for doc_id, score in level]
    return merged


def make_plan(ladder: Ladder | None, budget_ms: float | None, names: Sequence[str], costs: Mapping[str, Cost]) -> LadderPlan:
    """Check the arguments of a call. A budget without a ladder uses all heads, each as deep as the budget allows.

    `names`: of the model's heads, its own last; `costs`: what they cost, empty before `warm_up`.
    Raises: InputError for a ladder that this model does not have, an invalid budget, or a budget before `warm_up`.
    """
    steps = tuple((name, NO_LIMIT) for name in names[:-1]) if ladder is None else parse_ladder(ladder, names)
    if budget_ms is None:
        return LadderPlan(steps)
    if isinstance(budget_ms, bool) or not isinstance(budget_ms, Real) or not 0 < budget_ms <= _LONGEST_MS:
        raise InputError(f"budget_ms={budget_ms!r}; expected milliseconds above 0, or None for no limit")
    if not costs:
        raise InputError("budget_ms needs the measured cost of each head: call ranker.warm_up(query, doc_ids) once before")
    return LadderPlan(steps, budget_ms)


def affordable(rungs: Sequence[str], plan: LadderPlan, costs: Mapping[str, Cost], elapsed_ms: float) -> int:
    """Return how many candidates the first of the remaining rungs can score in an equal share of the time left."""
    if plan.budget_ms is None:
        return NO_LIMIT
    return costs[rungs[0]].most((plan.budget_ms - elapsed_ms) / len(rungs))


def climb(
    ids: Sequence[str], plan: LadderPlan, own: str, most: Callable[[Sequence[str]], int]
) -> Generator[Wanted, Scored, Scored]:
    """Run a ladder: yield the head and candidates of each rung, take their scores, and return merged scores, best first.

    Every rung is decided over all candidates. What the scores lack is passed over. `own`: the model's own head, the last
    rung; `most`: how many candidates the first of the remaining rungs can score. If that is too few for the first rung,
    nothing is scored: candidates keep their given order.
    """
    names = [*(name for name, _ in plan.steps), own]
    if most(names) < len(ids):
        held = {doc_id for doc_id, _ in (yield None, ids)}
        return [(doc_id, -float(i)) for i, doc_id in enumerate(doc_id for doc_id in ids if doc_id in held)]
    ordered = _best_first((yield names[0], ids))
    levels: list[Scored] = []
    for number, (_, keep) in enumerate(plan.steps, 1):
        depth = min(keep, most(names[number:]))
        chosen = {doc_id for doc_id, _ in ordered[:depth]}
        passed = [doc_id for doc_id in ids if doc_id in chosen]  # given order: at full depth, the batches of no ladder
        levels.append(ordered[depth:])
        ordered = _best_first((yield names[number], passed)) if passed else []
        if not passed:
            break
    return merge_levels([*levels, ordered])


def _best_first(scored: Scored) -> Scored:
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))
