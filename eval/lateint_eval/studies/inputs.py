"""What the results of a point were measured on, as digests: the model and, for each set, all that ranking and measures read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lateint.model.model import Model
from lateint.train.scores import identity
from lateint_eval.datasets.folder import Split
from lateint_eval.formats.records import Json
from lateint_eval.studies.data import candidate_texts
from lateint_eval.studies.points import Point, digest
from lateint_store.errors import InputError


class Inputs:
    """Digests of the inputs of points. `load` returns the model of a point.

    Cost: one loading of each model, and one pass over the texts for each depth.
    """

    def __init__(self, load: Callable[[Point], Model], sets: Mapping[str, Split]) -> None:
        self._load, self._sets = load, sets
        self._models: dict[str, str] = {}
        self._data: dict[int, dict[str, dict[str, str]]] = {}

    def of(self, point: Point) -> Json:
        """The digests of one point: its `model`, and for each set `queries`, `judgements`, `candidates` and `texts`."""
        if point.depth not in self._data:
            self._data[point.depth] = {name: _of_set(data, point.depth) for name, data in self._sets.items()}
        return {"model": self._model(point), "data": self._data[point.depth]}

    def stored(self, point: Point, name: str) -> str:
        """A digest of all that the stores of a point's encoding on one set depend on."""
        return digest([self._model(point), _texts(self._sets[name])])

    def _model(self, point: Point) -> str:
        if point.encoding not in self._models:
            self._models[point.encoding] = identity(self._load(point))["digest"][:12]
        return self._models[point.encoding]


def _texts(data: Split) -> list[tuple[str, str, str]]:
    return [(document.id, document.title, document.text) for document in candidate_texts(data)]


def _of_set(data: Split, depth: int) -> dict[str, str]:
    queries = list(data.queries)
    cut = data.only(queries, depth)
    return {
        "queries": digest(list(cut.queries.items())),
        "judgements": digest([(query, sorted(data.qrels[query].items())) for query in queries]),
        "candidates": digest([(query, cut.candidates[query]) for query in queries]),
        "texts": digest(_texts(cut)),
    }


def check_unchanged(file: Path, label: str, then: Json, now: Json) -> None:
    """Refuse results of other inputs than today's. Raises: InputError that names what has changed."""
    changed = [("the model", then["model"], now["model"])] if then["model"] != now["model"] else []
    for name, facts in now["data"].items():
        before = then["data"].get(name, {})
        changed += [
            (f"the {what} of data {name!r}", str(before.get(what)), value)
            for what, value in facts.items()
            if before.get(what) != value
        ]
    if changed:
        what, old, new = changed[0]
        raise InputError(
            f"{what} changed after the point {label!r} was measured [{old} then, {new} now]; "
            f"choose another folder, or delete {file} and others of its kind to measure them anew"
        )
