"""The ladder: cheap heads look at all candidates, each passes its best on to a dearer one. One store serves every rung."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lateint.errors import InputError
from lateint.heads.cosine import Cosine
from lateint.model import Model

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
