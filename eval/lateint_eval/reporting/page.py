"""The data of the results page, gathered from stored JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lateint_eval.formats.records import Json
from lateint_eval.measures.gain import Gain, gain
from lateint_eval.reporting.rows import ROWS, TEACHER, ResultRow
from lateint_eval.reporting.sets import MAIN
from lateint_eval.reporting.similarity import Pairs, stsb_row
from lateint_eval.reporting.stored import Result

GAIN_SETS = ("squad test", "medquad test", "msmarco-dl19")
Number = float | None


@dataclass(frozen=True, slots=True)
class Page:
    """Stored results, oldest first, and optional further data of the page.

    `references`: {set: {system: {measure: mean}}}, systems being `bm25`, `cosine` and those of published models;
    `pairs`: rows of the benchmark of sentence pairs;
    `base_speed`: timing of the base cosine, with the keys of `speed` in a result.
    """

    results: Sequence[Result]
    references: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    pairs: Pairs = ()
    base_speed: Json = field(default_factory=dict)
    rows: Sequence[ResultRow] = ROWS

    def of(self, row: ResultRow) -> Result | None:
        """Return the result for a preset: the newest of the first checkpoint name that has a result."""
        for name in row.checkpoints:
            if (found := self._newest(name)) is not None:
                return found
        return None

    def _newest(self, name: str) -> Result | None:
        return next((result for result in reversed(self.results) if result["checkpoint"] == name), None)

    def default(self) -> Result | None:
        """Return the newest result of the default checkpoint."""
        from lateint.loading.shipped import DEFAULT

        return self._newest(DEFAULT)

    def others(self) -> list[Result]:
        """Return the results that belong to no preset and not to the default."""
        shown = [self.default(), *map(self.of, self.rows)]
        taken = [id(result) for result in shown if result is not None]
        return [result for result in self.results if id(result) not in taken]

    def teacher(self) -> Result | None:
        """Return the newest result of the teacher."""
        return self._newest(TEACHER)

    def replaced(self, result: Result) -> bool:
        """Return True if a newer checkpoint of the same name has a result."""
        return self._newest(result["checkpoint"]) is not result

    def stsb(self, row: ResultRow) -> Json | None:
        """Return the row of a preset on STS-B."""
        return stsb_row(self.pairs, row.pairs) if row.pairs else None

    def reference(self, system: str, name: str, measure: str = MAIN) -> Number:
        """Return the mean of a reference on a set, from the references or else from the first result."""
        kept = self.references.get(name, {}).get(system)
        if kept is not None:
            return kept.get(measure)
        return next((value for r in self.results if (value := score(r, name, measure, system)) is not None), None)

    def gain(self, result: Result, system: str = "cached") -> Gain | None:
        """Return the gain of a result over the cosine; None if the teacher or a set is missing."""
        return self._gain_of([score(result, name, MAIN, system) for name in GAIN_SETS])

    def reference_gain(self, system: str) -> Gain | None:
        """Return the gain of a reference over the cosine; None if the teacher or a set is missing."""
        return self._gain_of([self.reference(system, name) for name in GAIN_SETS])

    def _gain_of(self, values: Sequence[Number]) -> Gain | None:
        teacher = self.teacher()
        if teacher is None:
            return None
        cosine = [self.reference("cosine", name) for name in GAIN_SETS]
        sides = [_known(side) for side in (values, cosine, [score(teacher, name) for name in GAIN_SETS])]
        return gain(*sides) if all(len(side) == len(GAIN_SETS) for side in sides) else None


def _known(values: Sequence[Number]) -> dict[str, float]:
    return {name: value for name, value in zip(GAIN_SETS, values, strict=True) if value is not None}


def on(result: Result, name: str) -> Json | None:
    """Return the part of a result about a set."""
    return next((task for task in result["tasks"] if task["set"] == name), None)


def score(result: Result, name: str, measure: str = MAIN, system: str = "cached") -> Number:
    """Return a mean; None if the set, system or measure is missing."""
    task = on(result, name)
    return None if task is None else task["systems"].get(system, {}).get(measure)


def difference(result: Result, name: str, other: str) -> Sequence[float] | None:
    """Return the paired difference from another system and its interval, [mean, low, high]."""
    task = on(result, name)
    return None if task is None else task["systems"]["cached"].get(f"minus_{other}")


def stored_bytes(result: Result) -> Number:
    """Return the bytes per passage on disk, on the first available set of `GAIN_SETS`."""
    return next((value for name in GAIN_SETS if (value := score(result, name, "bytes_per_document")) is not None), None)


def remarks(result: Result | None) -> list[str]:
    """Return the labels of a head that differs from the published method: `residual`, `matches`."""
    known = result or {}
    matches = "readout='matches'" in known.get("method", {}).get("head", "")
    return [*(["residual"] if known.get("residual") else []), *(["matches"] if matches else [])]
