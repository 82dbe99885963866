"""Evaluation of several runs on several measures, as a text table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lateint_eval.formats.records import Json, Qrels, Run
from lateint_eval.measures.metrics import Evaluation, evaluate
from lateint_eval.measures.significance import Comparison, compare, holm, interval

_FULL_COVERAGE = 0.9  # below this share of judged queries, the average over ranked queries is shown as well


@dataclass(frozen=True, slots=True)
class CorrectedComparison:
    """A comparison with the baseline, and its p-value after Holm's correction over the runs."""

    comparison: Comparison
    p_holm: float


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Evaluations by run name; on request, per run and measure, a comparison with the baseline and an interval of the mean."""

    evaluations: dict[str, Evaluation]
    baseline: str | None = None
    tests: dict[str, dict[str, CorrectedComparison]] = field(default_factory=dict)
    intervals: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)

    def warnings(self) -> list[str]:
        """Return one warning for each run that covers less than 90 % of the judged queries."""
        return [
            f"{name} holds {each.ranked} of {each.judged} judged queries ({each.coverage:.1%}); the others count as 0. "
            "Are these the qrels of this query set? Averages over the ranked queries are shown as well."
            for name, each in self.evaluations.items()
            if each.coverage < _FULL_COVERAGE
        ]

    def to_json(self) -> Json:
        """Return all results as JSON, with full precision and per-query values."""
        runs = []
        for name, each in self.evaluations.items():
            counts = {"judged": each.judged, "ranked": each.ranked, "missing": each.missing, "unjudged": each.unjudged}
            measures = {measure: _finite(asdict(score)) for measure, score in each.scores.items()}
            for measure, (low, high) in self.intervals.get(name, {}).items():
                measures[measure] |= {"low": low, "high": high}
            against = {
                measure: {**_finite(asdict(test.comparison)), **_finite({"p_holm": test.p_holm})}
                for measure, test in self.tests.get(name, {}).items()
            }
            runs.append({"run": name, "queries": counts, "measures": measures, "against_baseline": against})
        return {"baseline": self.baseline, "runs": runs}

    def to_text(self) -> str:
        """Format a table with one row per run, and a second table with one row per comparison."""
        measures = list(dict.fromkeys(measure for each in self.evaluations.values() for measure in each.scores))
        short = self._short_names()
        rows = [["run", *measures, "judged queries", "missing (0)", "unjudged"]]
        for name, each in self.evaluations.items():
            means = [f"{each.scores[measure].mean:.4f}" for measure in measures]
            counts = [f"{each.ranked} of {each.judged} ({each.coverage:.1%})", str(each.missing), str(each.unjudged)]
            rows.append([short[name], *means, *counts])
            if name in self.intervals:
                ends = (self.intervals[name][measure] for measure in measures)
                rows.append([f"{short[name]}, 95 %", *(f"[{low:.4f}, {high:.4f}]" for low, high in ends), "", "", ""])
            if each.coverage < _FULL_COVERAGE:
                means = [f"{each.scores[measure].mean_ranked:.4f}" for measure in measures]
                rows.append([f"{short[name]}, ranked queries only", *means, f"{each.ranked} of {each.ranked}", "", ""])
        return "\n".join([*_aligned(rows), *self._test_lines()]) + "\n"

    def _short_names(self) -> dict[str, str]:
        """Map run names to file names, or to themselves if two runs share a file name."""
        short = {name: Path(name).name for name in self.evaluations}
        return short if len(set(short.values())) == len(short) else {name: name for name in short}

    def _test_lines(self) -> list[str]:
        short = self._short_names()
        rows = [["difference", "measure", "mean", "95 % interval", "p (t-test)", "p (Holm)", "queries"]]
        for name, tests in self.tests.items():
            for measure, test in tests.items():
                each = test.comparison
                interval = f"[{each.low:+.4f}, {each.high:+.4f}]"
                p_values = [_printed_p(each.p_value), _printed_p(test.p_holm)]
                what = f"{short[name]} - {short[self.baseline or name]}"
                rows.append([what, measure, f"{each.difference:+.4f}", interval, *p_values, str(each.n)])
        return ["", *_aligned(rows)] if len(rows) > 1 else []


def score_runs(
    qrels: Qrels, runs: dict[str, Run], measures: Sequence[str], baseline: str | None = None, *, intervals: bool = False
) -> RunComparison:
    """Evaluate every run and, if `baseline` names one of them, test the others against it.

    Args: `intervals` adds a 95 % bootstrap interval to every mean.
    Raises: InputError, MissingExtra as `evaluate` does. Cost of intervals: 10,000 draws per query and measure.
    """
    evaluations = {name: evaluate(qrels, run, measures) for name, run in runs.items()}
    ends = {
        name: {measure: interval(score.per_query) for measure, score in each.scores.items()}
        for name, each in evaluations.items()
        if intervals
    }
    if baseline is None:
        return RunComparison(evaluations, intervals=ends)
    others = [name for name in evaluations if name != baseline]
    tests: dict[str, dict[str, CorrectedComparison]] = {name: {} for name in others}
    for measure, reference in evaluations[baseline].scores.items():
        compared = [compare(evaluations[name].scores[measure].per_query, reference.per_query) for name in others]
        adjusted = holm([each.p_value for each in compared])
        for name, each, p_holm in zip(others, compared, adjusted, strict=True):
            tests[name][measure] = CorrectedComparison(each, p_holm)
    return RunComparison(evaluations, baseline, tests, ends)


def _finite(values: Json) -> Json:
    """Replace nan by None, because JSON has no nan."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}


def _printed_p(p_value: float) -> str:
    return "<0.0001" if p_value < 0.0001 else f"{p_value:.4f}"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
