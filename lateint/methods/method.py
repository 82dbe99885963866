"""A `Method`: one way to split the work of a ranker between index time and query time. Pure data, no torch.

Letters: T layers of the backbone, L offline layers, h hidden width, c stored width.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from lateint.errors import InputError
from lateint.methods.registry import Part, part

Depth = int | str
"""A number of layers: an integer, or an expression in T such as "T", "T/2", "3T/4" or "T-2" (rounded down)."""

PARTS = ("pool", "compressor", "vector", "vector_map", "head")  # fields of a method that hold one part
SIDES = ("document", "query")
_DEPTH = re.compile(r"(?P<times>\d*)T(?:/(?P<over>[1-9]\d*))?(?:-(?P<minus>\d+))?")


def resolve_depth(depth: Depth, layers: int) -> int:
    """The number of layers that `depth` means for a backbone of T = `layers`.

    Raises: InputError if it is no depth or lies outside 0..T.

    >>> resolve_depth("3T/4", 12)
    9
    """
    value = depth
    if isinstance(depth, str):
        if match := _DEPTH.fullmatch(depth):
            value = int(match["times"] or 1) * layers // int(match["over"] or 1) - int(match["minus"] or 0)
        elif depth.isdecimal():
            value = int(depth)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= layers:
        raise InputError(f"{depth!r} layers of a backbone with T = {layers}; expected 0..{layers} or e.g. 'T/2', 'T-2'")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the tokens of one side are laid out when that side is encoded without the other.

    `template` takes the special tokens from the tokenizer itself: `first` and `second` are the two halves of its pair
    template (BERT: `[CLS] q [SEP]` and `d [SEP]`; RoBERTa: `<s> q </s>` and `</s> d </s>`), `alone` is its single-text
    template. `positions` of a document: `restart` at the first position; `offset` by the query's `max_length`; or
    `follow` the actual query, which only a document that depends on no position can do (L = 0, or rotary positions).
    """

    template: Literal["first", "second", "alone"] = "alone"
    positions: Literal["restart", "offset", "follow"] = "restart"
    max_length: int = 256  # tokens, special tokens included; what is longer is cut at the end
    segment: int | None = None  # None: what the tokenizer's template says
    marker: str = ""  # a token put after the first special token, e.g. ColBERT's [Q] and [D]
    fill: str = ""  # a token that fills the text up to max_length, e.g. ColBERT's [MASK]
    trim: str = ""  # a token left off where a text ends with it, e.g. the question mark that people do not type

    def to_json(self) -> dict[str, Any]:
        """Plain data. An empty `trim` is left out: what was written before it existed is written as it was."""
        return {key: value for key, value in asdict(self).items() if key != "trim" or value}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Layout:
        """The inverse of `to_json`. Raises: InputError on an unknown or missing field."""
        values: dict[str, Any] = {"trim": ""} | data
        _check_fields(cls, values)
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of training: which losses, on which parameters, from which lists. All settings are data."""

    losses: tuple[tuple[Part, float], ...]  # each with its weight
    train: tuple[str, ...] = ("head",)  # of: head, compressor, vector_map, layers, embeddings (of both towers)
    rate: float = 1e-4  # peak learning rate of AdamW; warm-up over 10 % of the steps, then linear to zero
    head_rate: float | None = None  # the peak rate of everything but the encoder; None: the same
    vector_rate: float = 1.0  # factor of that rate for biases, norms and scalars, which may learn faster
    queries: int = 8  # queries, or pairs, a step
    negatives: int = 7  # candidates a query beside the positive
    pool: int = 0  # draw so many negatives and keep those that the teacher scores highest; 0: keep what is drawn
    in_batch: bool = False  # the positives of a step's other queries are negatives too
    dropout: bool = False  # the layers' own dropout, where layers are trained
    compressed: bool = True  # False: states pass the compressor by in this stage
    quantised: bool = False  # where layers are trained: arrays pass their codecs, gradients as if they had not


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One published (or our own) split of a T-layer ranker. JSON round-trips exactly."""

    name: str
    source: str  # paper id and section, or "lateint"
    summary: str  # one line: what is stored and what runs with the query
    offline_layers: Depth  # L: layers run per document before any query is known
    query_layers: Depth  # layers of the query's own tower, run once a query
    document: Layout = field(default_factory=Layout)
    query: Layout = field(default_factory=lambda: Layout(max_length=32))
    towers: Literal["shared", "copied"] = "shared"  # copied: the query tower has weights of its own
    pool: Part = field(default_factory=lambda: part("all_tokens"))  # which token vectors of a document survive
    compressor: Part | None = None  # learned map h -> c before the codecs
    vector: Part | None = None  # a second stored array: the pool that makes one vector of a document
    vector_layers: Depth = "T"  # layers that a vector passes, of both sides; L where the head reads vectors alone
    vector_map: Part | None = None  # learned map of the pooled vectors of both sides
    codecs: tuple[tuple[str, tuple[Part, ...]], ...] = ()  # how each array is packed, in encode order
    head: Part  # what runs with the query
    stages: tuple[Stage, ...] = ()

    def resolve(self, layers: int) -> Method:
        """The same method with its depths as numbers for a backbone of T = `layers`."""
        return replace(
            self,
            offline_layers=resolve_depth(self.offline_layers, layers),
            query_layers=resolve_depth(self.query_layers, layers),
            vector_layers=resolve_depth(self.vector_layers, layers),
        )

    @property
    def depth(self) -> int:
        """L as a number. Raises: InputError before `resolve`."""
        return resolve_depth(self.offline_layers, 0) if isinstance(self.offline_layers, str) else self.offline_layers

    @property
    def query_depth(self) -> int:
        """Layers of the query's own tower as a number. Raises: InputError before `resolve`."""
        return resolve_depth(self.query_layers, 0) if isinstance(self.query_layers, str) else self.query_layers

    @property
    def vector_depth(self) -> int:
        """Layers that a vector passes as a number. Raises: InputError before `resolve`."""
        return resolve_depth(self.vector_layers, 0) if isinstance(self.vector_layers, str) else self.vector_layers

    def to_json(self) -> dict[str, Any]:
        """Plain data; parts as `{"name", "configuration"}`."""
        data = asdict(self)
        for key in PARTS:
            chosen = getattr(self, key)
            data[key] = None if chosen is None else chosen.to_json()
        data |= {side: getattr(self, side).to_json() for side in SIDES}
        data["codecs"] = {name: [step.to_json() for step in steps] for name, steps in self.codecs}
        data["stages"] = [_stage_json(stage) for stage in self.stages]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Method:
        """The inverse of `to_json`; `vector_layers` and `vector_map` may be missing, as in files from before they were.

        Raises: InputError on an unknown or missing field.
        """
        values = {"vector_layers": "T", "vector_map": None} | data
        _check_fields(cls, values)
        for key in PARTS:
            values[key] = None if values[key] is None else Part.from_json(values[key])
        values |= {side: Layout.from_json(data[side]) for side in SIDES}
        values["codecs"] = tuple((name, tuple(map(Part.from_json, steps))) for name, steps in data["codecs"].items())
        values["stages"] = tuple(_stage(stage) for stage in data["stages"])
        return cls(**values)


def _stage_json(stage: Stage) -> dict[str, Any]:
    """Plain data. `quantised` is left out where it is not set: what was written before it existed is written as it was."""
    data = asdict(stage) | {"losses": [[loss.to_json(), weight] for loss, weight in stage.losses], "train": list(stage.train)}
    return {key: value for key, value in data.items() if key != "quantised" or value}


def _stage(data: dict[str, Any]) -> Stage:
    data = {"quantised": False} | data
    _check_fields(Stage, data)
    losses = tuple((Part.from_json(loss), float(weight)) for loss, weight in data["losses"])
    values: dict[str, Any] = data | {"losses": losses, "train": tuple(data["train"])}
    return Stage(**values)


def _check_fields(cls: type[Any], data: dict[str, Any]) -> None:
    known = {f.name for f in fields(cls)}
    if set(data) != known:
        odd = sorted(set(data) ^ known)
        raise InputError(f"{cls.__name__} with fields {odd} unknown or missing: {json.dumps(data)[:200]}")
