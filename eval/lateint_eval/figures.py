"""What each evaluation tool would print for a run, quirks included; `--audit` shows why they differ.

Modelled on what the tools do, not on what they document; the tests hold every row against the tool itself where it can be
installed. Sources: trec_eval 10 (form_res_rels.c), ir-measures 0.4.3, BEIR's EvaluateRetrieval, ms_marco_eval.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lateint_eval.formats.records import Entry, Judgements, Run
from lateint_eval.msmarco import compatible
from lateint_eval.order import ranked_ids
from lateint_store.errors import LateintError

CUTOFF = 10
Measure = Callable[[Sequence[str], Mapping[str, int]], float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A tool's MRR@10 and nDCG@10; None where it has no such measure or prints none, for the reason given."""

    tool: str
    mrr: float | None
    ndcg: float | None
    note: str = ""


def figures(qrels: Judgements, run: Run) -> list[Figure]:
    """Predict the figures of every tool for a run as its file has it: repetitions, nan and odd ranks kept."""
    return [_lateint(qrels, run), _official(qrels, run), *_with_scores(qrels, run)]


def figure_lines(found: Sequence[Figure]) -> list[str]:
    """The figures as lines of a table, in all the digits that the tools agree or differ in."""
    rows = [("tool", "MRR@10", "nDCG@10", "")]
    rows += [(each.tool, _printed(each.mrr), _printed(each.ndcg), each.note) for each in found]
    return [f"{tool:<14}  {mrr:>8}  {gain:>8}  {note}".rstrip() for tool, mrr, gain, note in rows]


def _printed(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}"


def reciprocal_rank(ids: Sequence[str], labels: Mapping[str, int]) -> float:
    """1 / rank of the first document with a label of 1 or more among the best ten."""
    return next((1 / rank for rank, doc_id in enumerate(ids[:CUTOFF], 1) if labels.get(doc_id, 0) >= 1), 0.0)


def ndcg(ids: Sequence[str], labels: Mapping[str, int]) -> float:
    """nDCG@10 with linear gains."""
    gains = [max(0, labels.get(doc_id, 0)) for doc_id in ids[:CUTOFF]]
    best = sorted((label for label in labels.values() if label > 0), reverse=True)[:CUTOFF]
    ideal = _discounted(best)
    return _discounted(gains) / ideal if ideal else 0.0


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _lateint(qrels: Judgements, run: Run) -> Figure:
    entries = [entry for _, ranking in run.items() for entry in ranking]
    if _has_nan(entries) or any(math.isinf(entry.score or 0.0) for entry in entries):
        return Figure("lateint eval", None, None, "refuses scores that are not finite")
    if any(len({entry.doc_id for entry in ranking}) < len(ranking) for _, ranking in run.items()):
        return Figure("lateint eval", None, None, "refuses a document that stands twice")
    orders = {query_id: ranked_ids(ranking) for query_id, ranking in run.items()}
    mrr, gain = (_mean(measure, orders, qrels, list(qrels)) for measure in (reciprocal_rank, ndcg))
    return Figure("lateint eval", mrr, gain, "all judged queries")


def _official(qrels: Judgements, run: Run) -> Figure:
    tool = "ms_marco_eval"
    names = [*qrels, *run.queries, *(entry.doc_id for _, ranking in run.items() for entry in ranking)]
    if not all(_is_integer(name) for name in (*names, *(doc_id for labels in qrels.values() for doc_id in labels))):
        return Figure(tool, None, None, "rejects ids that are no integers")
    try:
        return Figure(tool, compatible(qrels, run).mrr, None, "ranks, not scores; any label is relevant")
    except LateintError as error:
        return Figure(tool, None, None, f"rejects the run: {error}")


def _is_integer(name: str) -> bool:
    try:
        int(name)
    except ValueError:
        return False
    return True


def _with_scores(qrels: Judgements, run: Run) -> list[Figure]:
    """The tools that sort by score."""
    tools = ("trec_eval -c", "trec_eval", "ir_measures", "BEIR")
    entries = [entry for _, ranking in run.items() for entry in ranking]
    if any(entry.score is None for entry in entries):
        return [Figure(tool, None, None, "needs scores; the run has none") for tool in tools]
    if _has_nan(entries):
        return [Figure(tool, None, None, "undefined: nan has no place in an order") for tool in tools]
    both = [query_id for query_id in qrels if query_id in run.queries]
    return [*_trec_eval(qrels, run, both), _ir_measures(qrels, run), _beir(qrels, run, both)]


def _trec_eval(qrels: Judgements, run: Run, both: list[str]) -> list[Figure]:
    tools = {"trec_eval -c": (list(qrels), "all judged queries"), "trec_eval": (both, "judged queries of the run alone")}
    if any(len({entry.doc_id for entry in ranking}) < len(ranking) for _, ranking in run.items()):
        return [Figure(tool, None, None, "stops at a document that stands twice") for tool in tools]
    if not both:
        return [Figure(tool, None, None, "no query in common") for tool in tools]
    orders = {query_id: ranked_ids(run.queries[query_id]) for query_id in both}
    return [
        Figure(tool, _mean(reciprocal_rank, orders, qrels, over), _mean(ndcg, orders, qrels, over), f"{note}; larger id first")
        for tool, (over, note) in tools.items()
    ]


def _ir_measures(qrels: Judgements, run: Run) -> Figure:
    """RR@10 comes from its msmarco provider (64-bit scores, smaller id first), nDCG@10 from pytrec_eval."""
    orders = {query_id: ranked_ids(_last_of_each(ranking)) for query_id, ranking in run.items()}
    ascending = {}
    for query_id, ranking in run.items():
        scored = {entry.doc_id: entry.score or 0.0 for entry in ranking}
        ascending[query_id] = sorted(scored, key=lambda doc_id: (-scored[doc_id], doc_id))
    mrr, gain = _mean(reciprocal_rank, ascending, qrels, list(qrels)), _mean(ndcg, orders, qrels, list(qrels))
    return Figure("ir_measures", mrr, gain, "all judged queries; ties by smaller id in RR, by larger in nDCG")


def _beir(qrels: Judgements, run: Run, both: list[str]) -> Figure:
    """Drops documents with the query's id; its MRR keeps the file order of ties and divides by all judged queries."""
    kept = {q: [entry for entry in _last_of_each(ranking) if entry.doc_id != q] for q, ranking in run.items()}
    orders = {query_id: ranked_ids(ranking) for query_id, ranking in kept.items()}
    gain = round(_mean(ndcg, orders, qrels, both), 5) if both else None
    if any(query_id not in qrels for query_id in run.queries):
        return Figure("BEIR", None, gain, "its MRR fails on queries that are not judged")
    by_file = {q: [e.doc_id for e in sorted(ranking, key=lambda e: -(e.score or 0.0))] for q, ranking in kept.items()}
    mrr = round(_mean(reciprocal_rank, by_file, qrels, list(qrels)), 5)
    return Figure("BEIR", mrr, gain, "nDCG over judged queries of the run alone; MRR leaves ties in file order")


def _last_of_each(entries: Sequence[Entry]) -> list[Entry]:
    """What a dictionary of documents keeps: the place of the first line, the score of the last."""
    kept: dict[str, Entry] = {}
    for entry in entries:
        kept[entry.doc_id] = entry
    return list(kept.values())


def _mean(measure: Measure, orders: Mapping[str, Sequence[str]], qrels: Judgements, over: Sequence[str]) -> float:
    return math.fsum(measure(orders.get(query_id, ()), qrels[query_id]) for query_id in over) / len(over)


def _has_nan(entries: Sequence[Entry]) -> bool:
    return any(entry.score is not None and math.isnan(entry.score) for entry in entries)
