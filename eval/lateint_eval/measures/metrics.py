"""Ranking measures, computed by ir-measures and averaged over all judged queries."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from lateint_eval.formats.ranks import check_ranks
from lateint_eval.formats.records import LARGEST_LABEL, LARGEST_RANK, Judgements, Run
from lateint_eval.measures.order import ranked_ids, refuse_duplicates
from lateint_store.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from ir_measures import Measure

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@100")
VALID = (
    "AP, AP@100, Bpref, ERR@20, IPrec@0.1, Judged@10, NumRel, NumRet, P@10, R@100, RR@10, Rprec, "
    "SetAP, SetF, SetP, SetR, Success@5, infAP, nDCG, nDCG@10"
)
_KNOWN = f"expected one of {VALID}, with other cutoffs, or with parameters as in RR(rel=2)@10"


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
    Raises: InputError for empty qrels, a label out of range, an unknown measure or one that fails, or a repeated document;
    FormatError for ranks that may be scores; MissingExtra("ir-measures", "eval").
    """
    if not qrels:
        raise InputError("the qrels hold no judgement; expected at least one line")
    _check_labels(qrels)
    refuse_duplicates(run)
    check_ranks(run)
    parsed = {str(measure): measure for measure in map(parse_measure, measures)}
    ordered = {query_id: ranked_ids(entries) for query_id, entries in run.items() if query_id in qrels}
    values = _per_query(qrels, ordered, parsed)
    scores = {name: _score(per_query, ordered) for name, per_query in values.items()}
    return Evaluation(scores, len(qrels), len(ordered), len(run) - len(ordered))


def parse_measure(name: str) -> Measure:
    """Return the ir-measures object of this name. Raises: InputError that lists measures."""
    ir_measures = _ir_measures()
    try:
        measure: Measure = ir_measures.parse_measure(name)
        measure.validate_params()  # type: ignore[no-untyped-call]
    except (NameError, ValueError, TypeError, SyntaxError, AssertionError) as error:
        raise InputError(f"unknown measure {name!r} ({_reason(error)}); {_KNOWN}") from error
    for parameter, largest in (("cutoff", LARGEST_RANK), ("rel", LARGEST_LABEL)):
        value = measure.params.get(parameter, 1)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
            raise InputError(f"measure {name!r}: {parameter} is {value!r}, not a whole number from 1 to {largest:,}; {_KNOWN}")
    return measure


def _reason(error: Exception) -> str:
    """Return the message of an error of ir-measures on one line, without the address of its marker for absent parameters."""
    return re.sub(r"invalid param (\w+)=<object.*", r"it needs \1", " ".join(str(error).split()))


def _check_labels(qrels: Judgements) -> None:
    """Refuse labels that measures cannot hold. Raises: InputError."""
    for query_id, labels in qrels.items():
        for doc_id, label in labels.items():
            if not -LARGEST_LABEL <= label <= LARGEST_LABEL:
                expected = f"expected a label from {-LARGEST_LABEL:,} to {LARGEST_LABEL:,}; are columns swapped?"
                raise InputError(f"label {label} of document {doc_id!r} for query {query_id!r}; {expected}")


def _per_query(qrels: Judgements, ordered: dict[str, list[str]], measures: dict[str, Measure]) -> dict[str, dict[str, float]]:
    """Compute measures by name and query. Raises: InputError for a measure that fails, or is not finite for a query.

    Tools see numbers in place of ids: some fail on blanks, control characters, or queries that are no numbers.
    """
    numbers = {query_id: str(number) for number, query_id in enumerate(qrels, start=1)}
    judged, run = {}, {}
    for query_id, labels in qrels.items():
        docs: dict[str, str] = {}
        ranked = [docs.setdefault(doc_id, f"d{len(docs)}") for doc_id in ordered.get(query_id, ())]
        judged[numbers[query_id]] = {docs.setdefault(doc_id, f"d{len(docs)}"): label for doc_id, label in labels.items()}
        if query_id in ordered:
            run[numbers[query_id]] = {doc_id: float(-at) for at, doc_id in enumerate(ranked)}
    found: dict[str, dict[str, float]] = {name: {} for name in measures}
    try:
        for metric in _ir_measures().iter_calc(list(measures.values()), judged, run):
            found[str(metric.measure)][metric.query_id] = float(metric.value)
    except Exception as error:  # each tool behind ir-measures fails in its own way
        reason = _reason(error) or type(error).__name__
        raise InputError(f"cannot compute {', '.join(measures)}: {reason}; {_KNOWN}") from error
    values = {name: {query_id: found[name].get(number, math.nan) for query_id, number in numbers.items()} for name in found}
    for name, per_query in values.items():
        if failed := [query_id for query_id, value in per_query.items() if not math.isfinite(value)]:
            raise InputError(f"cannot compute {name} of query {failed[0]!r}: the value is not a finite number; {_KNOWN}")
    return values


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
