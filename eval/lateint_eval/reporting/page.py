"""Everything that the results page shows, gathered from stored JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lateint_eval.formats.records import Json
from lateint_eval.measures.gain import Gain, gain
from lateint_eval.reporting.rows import ROWS, TEACHER, ResultRow
from lateint_eval.reporting.sets import MAIN
from lateint_eval.reporting.similarity import Pairs, stsb_row
from lateint_eval.reporting.stored import Result

GAIN_SETS = ("squad test", "medquad test")
Number = float | None


@dataclass(frozen=True, slots=True)
class Page:
    """Stored results, oldest first, and what stands beside them, any of which may be missing.

    `references`: {set: {"bm25" or "cosine": {measure: mean}}}; `pairs`: rows of the benchmark of sentence pairs;
    `base_speed`: of the base cosine, as `speed` of a result.
    """

    results: Sequence[Result]
    references: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    pairs: Pairs = ()
    base_speed: Json = field(default_factory=dict)
    rows: Sequence[ResultRow] = ROWS

    def of(self, row: ResultRow) -> Result | None:
        """The result that stands for a preset: of the first name there is, the newest."""
        for name in row.checkpoints:
            if found := [result for result in self.results if result["checkpoint"] == name]:
                return found[-1]
        return None

    def others(self) -> list[Result]:
        """Results that stand for no preset."""
        taken = [id(result) for row in self.rows if (result := self.of(row)) is not None]
        return [result for result in self.results if id(result) not in taken]

    def teacher(self) -> Result | None:
        """The newest result of the teacher."""
        found = [result for result in self.results if result["checkpoint"] == TEACHER]
        return found[-1] if found else None

    def stsb(self, row: ResultRow) -> Json | None:
        """A preset's row on STS-B."""
        return stsb_row(self.pairs, row.pairs) if row.pairs else None

    def reference(self, system: str, name: str, measure: str = MAIN) -> Number:
        """BM25 or the base cosine on a set; where neither was kept, as the first result on that set has it."""
        kept = self.references.get(name, {}).get(system)
        if kept is not None:
            return kept.get(measure)
        return next((value for r in self.results if (value := score(r, name, measure, system)) is not None), None)

    def gain(self, result: Result, system: str = "cached") -> Gain | None:
        """The gain of a result over the cosine; None while the teacher or a set is missing."""
        teacher = self.teacher()
        if teacher is None:
            return None
        sides: list[dict[str, float]] = [{}, {}, {}]
        for name in GAIN_SETS:
            found = (score(result, name, MAIN, system), self.reference("cosine", name), score(teacher, name))
            for side, value in zip(sides, found, strict=True):
                if value is None:
                    return None
                side[name] = value
        return gain(*sides)


def on(result: Result, name: str) -> Json | None:
    """What a result says about a set."""
    return next((task for task in result["tasks"] if task["set"] == name), None)


def score(result: Result, name: str, measure: str = MAIN, system: str = "cached") -> Number:
    """A mean, None if that set, system or measure is not there."""
    task = on(result, name)
    return None if task is None else task["systems"].get(system, {}).get(measure)


def difference(result: Result, name: str, other: str) -> Sequence[float] | None:
    """The paired difference from another system, with its interval."""
    task = on(result, name)
    return None if task is None else task["systems"]["cached"].get(f"minus_{other}")


def stored_bytes(result: Result) -> Number:
    """Bytes a passage on disk, of the first set of those that gain is taken over."""
    return next((value for name in GAIN_SETS if (value := score(result, name, "bytes_per_document")) is not None), None)


def remarks(result: Result | None) -> list[str]:
    """What a reader must know of a head before taking its figures for the published method's."""
    known = result or {}
    matches = "readout='matches'" in known.get("method", {}).get("head", "")
    return [*(["residual"] if known.get("residual") else []), *(["matches"] if matches else [])]
