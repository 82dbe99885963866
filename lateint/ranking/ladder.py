"""Ladders: cheap heads score all candidates, and each passes its best on to a more expensive head.

This module has the data of a ladder run: its steps, its budget, the cost of a head, and how scores of several heads become
one list. `ladder_scorer.py` runs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lateint.errors import InputError
from lateint_store.arguments import as_list, parse_count

Scored = list[tuple[str, float]]
"""Document ids with their scores."""
Steps = tuple[tuple[str, int], ...]
"""Names of heads, each with the number of candidates that it passes on; the last one passes them to the model's own head."""
Ladder = str | Sequence[tuple[str, int]]
"""A ladder as a caller writes it: `cosine:200,evidence:50`, or pairs of the same."""


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
