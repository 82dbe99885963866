"""A `Method`: how a ranker's work is split between index time and query time. Pure data, without torch.

Symbols: T layers of the backbone, L offline layers, h hidden width, c compressed width.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Integral
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lateint.errors import InputError
from lateint.methods.registry import Part, part
from lateint_store.arguments import parse_count

Depth = int | str
"""A number of layers: an integer, or an expression in T such as "T", "T/2", "3T/4" or "T-2"; fractions round down."""

JsonObject = dict[str, Any]
"""A JSON object as `json.loads` returns it."""

PARTS = ("pool", "compressor", "vector", "vector_map", "head")  # the fields of a method that hold a single part
SIDES = ("document", "query")
MAX_LENGTH = 1 << 20  # tokens of a layout in a file
_ADDED_TO_LAYOUT: JsonObject = {"trim": "", "prefix": "", "attend_to_fill": True}  # fields that old files lack
_DEPTH = re.compile(r"(?P<times>\d{0,6})T(?:/(?P<over>[1-9]\d{0,5}))?(?:-(?P<minus>\d{1,6}))?", re.ASCII)


def resolve_depth(depth: Depth, layers: int) -> int:
    """Evaluate `depth` for a backbone of T = `layers` layers.

    Raises: InputError if `depth` is not a depth or lies outside 0..T.

    >>> resolve_depth("3T/4", 12)
    9
    """
    value = depth
    if isinstance(depth, str):
        if match := _DEPTH.fullmatch(depth):
            value = int(match["times"] or 1) * layers // int(match["over"] or 1) - int(match["minus"] or 0)
        elif (number := parse_count(depth)) is not None:
            value = number
    if isinstance(value, bool) or not isinstance(value, Integral | int) or not 0 <= int(value) <= layers:
        raise InputError(
            f"cannot run {depth!r} layers of a backbone with T = {layers}; expected 0..{layers}, or e.g. 'T/2' or 'T-2'"
        )
    return int(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The token layout of one side, query or document, when it is encoded without the other.

    `template` selects special tokens of the tokenizer: `first` and `second` are the two halves of its pair template (BERT:
    `[CLS] q [SEP]` and `d [SEP]`; RoBERTa: `<s> q </s>` and `</s> d </s>`), `alone` is its single-text template.
    `positions` numbers the tokens of a document: `restart` starts at the first position, `offset` after the query's
    `max_length`, `follow` after the actual query. `follow` requires stored states that depend on no position: L = 0, or
    rotary positions.
    """

    template: Literal["first", "second", "alone"] = "alone"
    positions: Literal["restart", "offset", "follow"] = "restart"
    max_length: int = 256  # tokens, special tokens included; longer texts are truncated at the end
    segment: int | None = None  # None: the segment of the tokenizer's template
    marker: str = ""  # a token inserted after the first special token, e.g. ColBERT's [Q] and [D]
    fill: str = ""  # a token that fills the text up to max_length, e.g. ColBERT's [MASK]
    trim: str = ""  # a token removed from the end of a text, e.g. the question mark that users often omit
    prefix: str = ""  # text before every text, e.g. the instruction before a query of bge; ends in a space
    attend_to_fill: bool = True  # False: the encoder computes states of a query's fill, but no token attends to it

    def to_json(self) -> JsonObject:
        """Return plain data. Fields that were added later are omitted at their defaults, so older layouts stay unchanged."""
        plain = asdict(self)
        return {key: value for key, value in plain.items() if key not in _ADDED_TO_LAYOUT or value != _ADDED_TO_LAYOUT[key]}

    @classmethod
    def from_json(cls, data: JsonObject) -> Layout:
        """Invert `to_json`. Raises: InputError for an unknown or missing field."""
        values = _ADDED_TO_LAYOUT | data
        _check_fields(cls, values)
        if not 1 <= values["max_length"] <= MAX_LENGTH:
            raise InputError(f"Layout: max_length={values['max_length']}; expected 1 to {MAX_LENGTH}")
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of training: its losses, the parameters that it trains and how it samples candidates. Pure data."""

    losses: tuple[tuple[Part, float], ...]  # (loss, weight) pairs
    # From: head, compressor, vector_map, layers, embeddings (of both towers), query_layers, query_layers:n (its last n).
    train: tuple[str, ...] = ("head",)
    rate: float = 1e-4  # peak learning rate of AdamW; warm-up over 10 % of the steps, then linear decay to zero
    head_rate: float | None = None  # peak rate of all parameters outside the encoder; None: `rate`
    vector_rate: float = 1.0  # multiplies that rate for biases, norms and scalars, which may learn faster
    queries: int = 8  # queries, or pairs, per step
    negatives: int = 7  # negative candidates per query, beside the positive
    pool: int = 0  # draw this many negatives and keep those that the teacher scores highest; 0: keep all drawn
    in_batch: bool = False  # use the positives of the other queries in a step as negatives too
    dropout: bool = False  # enable the layers' dropout where layers are trained
    compressed: bool = True  # False: states bypass the compressor in this stage
    quantised: bool = False  # where layers are trained, arrays pass through their codecs with straight-through gradients

    @property
    def trains_query_tower(self) -> bool:
        """True if layers of the query tower alone are trained, all or the last n."""
        return any(name.partition(":")[0] == "query_layers" for name in self.train)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One split of a T-layer ranker, from a paper or our own. The JSON form round-trips exactly."""

    name: str
    source: str  # paper id and section, or "lateint"
    summary: str  # one line: what is stored and what runs at query time
    offline_layers: Depth  # L: layers run per document at index time
    query_layers: Depth  # layers of the query tower, run once per query
    document: Layout = field(default_factory=Layout)
    query: Layout = field(default_factory=lambda: Layout(max_length=32))
    # copied: the query tower has its own weights, and vectors of queries come from the shared one, as a base cosine needs;
    # separate: its own weights, and vectors come from it as well, so that a query runs through one tower.
    towers: Literal["shared", "copied", "separate"] = "shared"
    pool: Part = field(default_factory=lambda: part("all_tokens"))  # selects the token states of a document to store
    compressor: Part | None = None  # learned map h -> c before the codecs
    vector: Part | None = None  # the pool that produces one vector per document, stored as a second array
    vector_layers: Depth = "T"  # layers below the vectors of both sides; L if the head reads vectors only
    vector_map: Part | None = None  # learned map of the pooled vectors of both sides
    codecs: tuple[tuple[str, tuple[Part, ...]], ...] = ()  # the codecs of each stored array, in encode order
    head: Part  # scores candidates at query time
    stages: tuple[Stage, ...] = ()

    def resolve(self, layers: int) -> Method:
        """Return this method with numeric depths for a backbone of T = `layers` layers."""
        return replace(
            self,
            offline_layers=resolve_depth(self.offline_layers, layers),
            query_layers=resolve_depth(self.query_layers, layers),
            vector_layers=resolve_depth(self.vector_layers, layers),
        )

    @property
    def depth(self) -> int:
        """L as a number. Raises: InputError if it is still an expression; call `resolve` first."""
        return resolve_depth(self.offline_layers, 0) if isinstance(self.offline_layers, str) else self.offline_layers

    @property
    def query_depth(self) -> int:
        """Layers of the query tower as a number. Raises: InputError if it is still an expression; call `resolve` first."""
        return resolve_depth(self.query_layers, 0) if isinstance(self.query_layers, str) else self.query_layers

    @property
    def vector_depth(self) -> int:
        """Layers below the vectors as a number. Raises: InputError if it is still an expression; call `resolve` first."""
        return resolve_depth(self.vector_layers, 0) if isinstance(self.vector_layers, str) else self.vector_layers

    def to_json(self) -> JsonObject:
        """Return plain data, with each part as `{"name": ..., "configuration": {...}}`."""
        data = asdict(self)
        for key in PARTS:
            chosen: Part | None = getattr(self, key)
            data[key] = None if chosen is None else chosen.to_json()
        data |= {side: getattr(self, side).to_json() for side in SIDES}
        data["codecs"] = {name: [step.to_json() for step in steps] for name, steps in self.codecs}
        data["stages"] = [_stage_json(stage) for stage in self.stages]
        return data

    @classmethod
    def from_json(cls, data: JsonObject) -> Method:
        """Invert `to_json`. `vector_layers` and `vector_map` may be missing: old files do not have them.

        Raises: InputError for an unknown or missing field, and for a value of another type.
        """
        try:
            values: JsonObject = {"vector_layers": "T", "vector_map": None} | data
            for key in PARTS:
                values[key] = None if values[key] is None else Part.from_json(values[key])
            values |= {side: Layout.from_json(data[side]) for side in SIDES}
            values["codecs"] = tuple((name, tuple(map(Part.from_json, steps))) for name, steps in data["codecs"].items())
            values["stages"] = tuple(_stage(stage) for stage in data["stages"])
        except KeyError as error:
            raise InputError(f"Method: fields [{error}] are unknown or missing: {json.dumps(data)[:200]}") from error
        except (TypeError, AttributeError) as error:
            raise InputError(f"not a method: {error}: {json.dumps(data)[:200]}") from error
        _check_fields(cls, values)
        return cls(**values)


def _stage_json(stage: Stage) -> JsonObject:
    """Return plain data. A false `quantised` is omitted, so stages from before it existed serialise unchanged."""
    data = asdict(stage) | {"losses": [[loss.to_json(), weight] for loss, weight in stage.losses], "train": list(stage.train)}
    return {key: value for key, value in data.items() if key != "quantised" or value}


def _stage(data: JsonObject) -> Stage:
    values: JsonObject = {"quantised": False} | data
    losses = tuple((Part.from_json(loss), float(weight)) for loss, weight in values["losses"])
    values |= {"losses": losses, "train": tuple(values["train"])}
    _check_fields(Stage, values)
    return Stage(**values)


def _check_fields(cls: type[Layout | Stage | Method], values: JsonObject) -> None:
    """Compare names and types with the fields of a class. Raises: InputError."""
    known = {f.name for f in fields(cls)}
    if set(values) != known:
        wrong = sorted(set(values) ^ known)
        raise InputError(f"{cls.__name__}: fields {wrong} are unknown or missing: {str(values)[:200]}")
    for name, kind in get_type_hints(cls).items():
        if not _is(values[name], kind):
            expected = kind.__name__ if isinstance(kind, type) else kind
            raise InputError(f"{cls.__name__}: {name}={str(values[name])[:60]!r}; expected {expected}")


def _is(value: object, kind: object) -> bool:
    """True if a value is of a type, where a bool is no number, and a whole number is a float."""
    if isinstance(value, bool):
        return kind is bool
    if isinstance(kind, UnionType):
        return any(_is(value, one) for one in get_args(kind))
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind is float:
        return isinstance(value, int | float)
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and isinstance(value, kind)
