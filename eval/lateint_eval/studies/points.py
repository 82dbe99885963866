"""The points of a study: one for every combination of settings, labelled by the settings that differ."""

from __future__ import annotations

import hashlib
import itertools
import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from lateint_eval.formats.records import Json
from lateint_eval.studies.spec import Study
from lateint_store.errors import InputError

_ENCODING = ("model", "method", "offline_layers", "pool", "doc_max_length", "query_max_length", "device")
_OPTIONS = (*_ENCODING, "codecs", "depth", "threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One combination of settings; None keeps the model's own. All points of a grid have the same `encoding_threads`."""

    model: str
    method: str | None
    offline_layers: str | None
    pool: str | None
    codecs: str | None
    doc_max_length: int | None
    query_max_length: int | None
    depth: int
    threads: int
    device: str
    encoding_threads: int

    @property
    def id(self) -> str:
        """Return the digest of all settings, as twelve hex digits."""
        return digest(asdict(self))

    @property
    def encoding(self) -> str:
        """Return the digest of the settings that affect document encoding; points with equal digests share an encoding."""
        return digest({key: getattr(self, key) for key in (*_ENCODING, "encoding_threads")})

    def options(self) -> str:
        """Return the settings as options of `lateint study`."""
        given = ((name, getattr(self, name)) for name in _OPTIONS)
        return " ".join(f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in given if value is not None)


def digest(data: object) -> str:
    """Return twelve hex digits of a digest of JSON data."""
    return hashlib.blake2b(json.dumps(data, sort_keys=True).encode(), digest_size=6).hexdigest()


def points(study: Study) -> dict[str, Point]:
    """Return all points by label, in the order of the grids. Raises: InputError if two points are equal."""
    found: list[Point] = []
    for grid in study.grids:
        axes = [getattr(grid, name) or (None,) for name in _OPTIONS[1:]]
        for chosen in itertools.product(*axes):
            settings: Json = dict(zip(_OPTIONS[1:], chosen, strict=True))
            found.append(Point(model=grid.model, encoding_threads=min(grid.threads), **settings))
    labels = _labels(found)
    if twice := [label for label, times in Counter(labels).items() if times > 1]:
        raise InputError(f"the study has the point {twice[0]!r} twice; expected every combination in one grid only")
    return dict(zip(labels, found, strict=True))


def _labels(found: Sequence[Point]) -> list[str]:
    """Label each point with its method (or model) and the settings in which points differ."""
    differing = {name for name in _OPTIONS if len({getattr(point, name) for point in found}) > 1}
    return [_label(point, differing) for point in found]


def _label(point: Point, differing: set[str]) -> str:
    values = {name: value for name in _OPTIONS if name in differing and (value := getattr(point, name)) is not None}
    words = [point.method or point.model]
    if point.method and "model" in values:
        words.append(f"of {point.model}")
    if "offline_layers" in values:
        words.append(f"L={point.offline_layers}")
    words += [str(values[name]) for name in ("pool", "codecs") if name in values]
    rest = ("doc_max_length", "query_max_length", "depth", "threads", "device")
    return " ".join(words + [f"{name}={values[name]}" for name in rest if name in values])
