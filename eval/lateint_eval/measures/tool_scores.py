"""Scores that each evaluation tool would print for a run, quirks included; shown by `lateint eval --audit`.

The models follow the behaviour of the tools, not their documentation; the tests compare every model with the tool itself
where it can be installed. Sources: trec_eval 10 (form_res_rels.c), ir-measures 0.4.3, BEIR's EvaluateRetrieval,
ms_marco_eval.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lateint_eval.formats.ranks import check_ranks
from lateint_eval.formats.records import Judgements, Run, RunEntry
from lateint_eval.measures.metrics import Score, evaluate
from lateint_eval.measures.msmarco import compatible
from lateint_eval.measures.order import refuse_duplicates
from lateint_store.errors import FormatError, InputError, LateintError

_MRR, _NDCG = "RR@10", "nDCG@10"


@dataclass(frozen=True, slots=True)
class ToolScore:
    """A tool's MRR@10 and nDCG@10; None if it lacks the measure or refuses the run, with the reason in `note`."""

    tool: str
    mrr: float | None
    ndcg: float | None
    note: str = ""


def tool_scores(qrels: Judgements, run: Run) -> list[ToolScore]:
    """Predict the scores of every tool for a run that was read with `finite=False`.

    Raises: InputError for empty qrels; MissingExtra without ir-measures.
    """
    return [_lateint(qrels, run), _official(qrels, run), *_with_scores(qrels, run)]


def tool_score_lines(found: Sequence[ToolScore]) -> list[str]:
    """Format the scores as a table with five decimals, the most that any tool prints."""
    rows = [("tool", "MRR@10", "nDCG@10", "")]
    rows += [(each.tool, _printed(each.mrr), _printed(each.ndcg), each.note) for each in found]
    return [f"{tool:<14}  {mrr:>8}  {gain:>8}  {note}".rstrip() for tool, mrr, gain, note in rows]


def _printed(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}"


def _lateint(qrels: Judgements, run: Run) -> ToolScore:
    if not all(entry.score is None or math.isfinite(entry.score) for entry in _entries(run)):
        return ToolScore("lateint eval", None, None, "refuses scores that are not finite")
    if _repeats(run):
        return ToolScore("lateint eval", None, None, "refuses a repeated document")
    try:
        check_ranks(run)
    except FormatError:
        return ToolScore("lateint eval", None, None, "refuses ranks that are not 1 to n, which may be scores")
    found = _scores(qrels, run)
    return ToolScore("lateint eval", found[_MRR].mean, found[_NDCG].mean, "all judged queries")


def _official(qrels: Judgements, run: Run) -> ToolScore:
    tool = "ms_marco_eval"
    names = [*qrels, *run.queries, *(entry.doc_id for entry in _entries(run))]
    if not all(_is_integer(name) for name in (*names, *(doc_id for labels in qrels.values() for doc_id in labels))):
        return ToolScore(tool, None, None, "rejects ids that are not integers")
    try:
        return ToolScore(tool, compatible(qrels, run).mrr, None, "ranks, not scores; any label is relevant")
    except LateintError as error:
        return ToolScore(tool, None, None, f"rejects the run: {error}")


def _is_integer(name: str) -> bool:
    try:
        int(name)
    except ValueError:
        return False
    return True


def _with_scores(qrels: Judgements, run: Run) -> list[ToolScore]:
    """Predict the scores of the tools that sort by score."""
    tools = ("trec_eval -c", "trec_eval", "ir_measures", "BEIR")
    scores = [entry.score for entry in _entries(run)]
    if any(score is None for score in scores):
        return [ToolScore(tool, None, None, "needs scores; the run has none") for tool in tools]
    if any(score is not None and math.isnan(score) for score in scores):
        return [ToolScore(tool, None, None, "undefined: nan cannot be sorted") for tool in tools]
    return [*_trec_eval(qrels, run), _ir_measures(qrels, run), _beir(qrels, run)]


def _trec_eval(qrels: Judgements, run: Run) -> list[ToolScore]:
    """Predict trec_eval, whose order (`order.py`) and per-query values equal ours."""
    tools = ("trec_eval -c", "trec_eval")
    if _repeats(run):
        return [ToolScore(tool, None, None, "stops at a repeated document") for tool in tools]
    found = _scores(qrels, run)
    if math.isnan(found[_MRR].mean_ranked):
        return [ToolScore(tool, None, None, "no query in common") for tool in tools]
    complete = ToolScore(tools[0], found[_MRR].mean, found[_NDCG].mean, "all judged queries; larger id first")
    alone = "judged queries of the run only; larger id first"
    return [complete, ToolScore(tools[1], found[_MRR].mean_ranked, found[_NDCG].mean_ranked, alone)]


def _ir_measures(qrels: Judgements, run: Run) -> ToolScore:
    """Predict ir-measures: RR@10 by its msmarco provider (64-bit scores, smaller id first), nDCG@10 by pytrec_eval."""
    once = _last_of_each(run)
    ascending = {q: sorted(entries, key=lambda entry: (-_score(entry), entry.doc_id)) for q, entries in once.items()}
    mrr, gain = _scores(qrels, _in_order(ascending))[_MRR].mean, _scores(qrels, once)[_NDCG].mean
    return ToolScore("ir_measures", mrr, gain, "all judged queries; ties by smaller id in RR, by larger in nDCG")


def _beir(qrels: Judgements, run: Run) -> ToolScore:
    """Predict BEIR: drops documents with the query's id; its MRR keeps ties in file order, averages over judged queries."""
    others = {q: [entry for entry in entries if entry.doc_id != q] for q, entries in _last_of_each(run).items()}
    gain = _scores(qrels, Run(run.source, others))[_NDCG].mean_ranked
    rounded = None if math.isnan(gain) else round(gain, 5)
    if any(query_id not in qrels for query_id in run.queries):
        return ToolScore("BEIR", None, rounded, "its MRR fails on queries that are not judged")
    by_file = _in_order({q: sorted(entries, key=lambda entry: -_score(entry)) for q, entries in others.items()})
    mrr = round(_scores(qrels, by_file)[_MRR].mean, 5)
    return ToolScore("BEIR", mrr, rounded, "nDCG over judged queries of the run only; MRR keeps ties in file order")


def _repeats(run: Run) -> bool:
    try:
        refuse_duplicates(run)
    except InputError:
        return True
    return False


def _last_of_each(run: Run) -> Run:
    """Remove repetitions as a Python dictionary does: keep the position of the first line and the score of the last."""
    return Run(run.source, {q: list({entry.doc_id: entry for entry in entries}.values()) for q, entries in run.items()})


def _in_order(orders: Mapping[str, Sequence[RunEntry]]) -> Run:
    """Build a run that every tool sorts in this order."""
    return Run("", {q: [e._replace(rank=at, score=-float(at)) for at, e in enumerate(order)] for q, order in orders.items()})


def _scores(qrels: Judgements, run: Run) -> dict[str, Score]:
    return evaluate(qrels, run, (_MRR, _NDCG)).scores


def _score(entry: RunEntry) -> float:
    return 0.0 if entry.score is None else entry.score


def _entries(run: Run) -> list[RunEntry]:
    return [entry for _, entries in run.items() for entry in entries]
