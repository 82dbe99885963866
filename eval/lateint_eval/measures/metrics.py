"""Ranking measures, computed by ir-measures and averaged over all judged queries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

from lateint_eval.formats.records import Judgements, Run
from lateint_eval.measures.order import ranked_ids, refuse_duplicates
from lateint_store.errors import InputError, MissingExtra

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@100")


@dataclass(frozen=True, slots=True)
class Score:
    """One measure of one run: the value of every judged query (0 if the run lacks it) and two averages."""

    per_query: dict[str, float]
    mean: float  # over all judged queries
    mean_ranked: float  # over the judged queries that the run contains; nan if it contains none


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All measures of one run by name, and how many judged queries the run covers."""

    scores: dict[str, Score]
    judged: int  # queries in the qrels
    ranked: int  # queries of the qrels that are in the run
    unjudged: int  # queries of the run that are not in the qrels; they are ignored

    @property
    def missing(self) -> int:
        """Return the number of judged queries that the run lacks; each counts as 0."""
        return self.judged - self.ranked

    @property
    def coverage(self) -> float:
        """Return the share of the judged queries that the run contains."""
        return self.ranked / self.judged


def evaluate(qrels: Judgements, run: Run, measures: Sequence[str] = DEFAULT_MEASURES) -> Evaluation:
    """Compute measures such as "nDCG@10", "RR(rel=2)@10", "R@100" (ir-measures names).

    A judged query without a positive label counts as 0 in the average, as in trec_eval -c and ir-measures.
    Ties are broken by trec_eval's rule before any measure is computed, so all measures see the same order.
    Raises: InputError for empty qrels, an unknown measure or a repeated document; MissingExtra("ir-measures", "eval").
    """
    if not qrels:
        raise InputError("the qrels hold no judgement; expected at least one line")
    refuse_duplicates(run)
    parsed = {str(measure): measure for measure in map(parse_measure, measures)}
    ordered = {query_id: ranked_ids(entries) for query_id, entries in run.items() if query_id in qrels}
    values = _per_query(qrels, ordered, parsed)
    scores = {name: _score(per_query, ordered) for name, per_query in values.items()}
    return Evaluation(scores, len(qrels), len(ordered), len(run) - len(ordered))


def parse_measure(name: str) -> object:
    """Return the ir-measures object of this name. Raises: InputError."""
    ir_measures = _ir_measures()
    try:
        return ir_measures.parse_measure(name)
    except (NameError, ValueError, TypeError, SyntaxError) as error:
        raise InputError(f"unknown measure {name!r} ({error}); expected nDCG@10, RR(rel=2)@10, R@100, ...") from error


def _per_query(qrels: Judgements, ordered: dict[str, list[str]], measures: dict[str, object]) -> dict[str, dict[str, float]]:
    ir_measures = _ir_measures()
    run = {query_id: {doc_id: float(-at) for at, doc_id in enumerate(ids)} for query_id, ids in ordered.items()}
    plain = {query_id: dict(labels) for query_id, labels in qrels.items()}
    values: dict[str, dict[str, float]] = {name: {} for name in measures}
    try:
        for metric in ir_measures.iter_calc(list(measures.values()), plain, run):
            values[str(metric.measure)][metric.query_id] = float(metric.value)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"cannot compute {', '.join(measures)}: {error}") from error
    return {name: {query_id: per_query[query_id] for query_id in qrels} for name, per_query in values.items()}


def _score(per_query: dict[str, float], ranked: Mapping[str, object]) -> Score:
    present = [value for query_id, value in per_query.items() if query_id in ranked]
    mean_ranked = math.fsum(present) / len(present) if present else math.nan
    return Score(per_query, math.fsum(per_query.values()) / len(per_query), mean_ranked)


def _ir_measures() -> ModuleType:
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtra("ir-measures", "eval") from error
    return ir_measures
