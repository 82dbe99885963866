"""Irregularities of a run that make evaluation tools disagree: where they are, and how each tool treats them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from lateint_eval.formats.records import Judgements, Run, RunEntry
from lateint_eval.formats.run_writer import MSMARCO_DEPTH
from lateint_eval.measures.order import sort_keys

_SHOWN = 5  # locations listed per finding


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of irregularity: how often it occurs, its consequence, and its first locations."""

    kind: str
    count: int
    text: str
    places: tuple[str, ...] = ()  # "line 7" or "query 12"; at most _SHOWN

    def __str__(self) -> str:
        """Format the finding as one line of the report."""
        where = f" [{', '.join(self.places)}{', ...' if self.count > len(self.places) else ''}]" if self.places else ""
        return f"{self.kind}: {self.count} {self.text}{where}"


def audit(qrels: Judgements, run: Run) -> list[Finding]:
    """List the irregularities of a run that was read with `finite=False`; the finding `depth` is always present."""
    checks = (_scores, _ties, _ranks, _disagreements, _duplicates)
    findings = [finding for check in checks for finding in check(run)]
    return [*findings, *_queries(qrels, run), *_labels(qrels, run), *_depth(run)]


def _at_lines(kind: str, entries: list[RunEntry], text: str) -> Iterator[Finding]:
    if entries:
        lines = sorted(entry.line for entry in entries)[:_SHOWN]
        yield Finding(kind, len(entries), text, tuple(f"line {line}" for line in lines))


def _of_queries(kind: str, query_ids: list[str], text: str) -> Iterator[Finding]:
    if query_ids:
        yield Finding(kind, len(query_ids), text, tuple(f"query {query_id}" for query_id in query_ids[:_SHOWN]))


def _scores(run: Run) -> Iterator[Finding]:
    odd = [entry for _, entries in run.items() for entry in entries if not _finite(entry)]
    yield from _at_lines("not finite", odd, "scores are nan or infinite: each tool sorts them its own way")


def _finite(entry: RunEntry) -> bool:
    return entry.score is None or math.isfinite(entry.score)


def _ties(run: Run) -> Iterator[Finding]:
    tied = []
    for _, entries in run.items():
        if all(entry.score is not None and _finite(entry) for entry in entries):
            keys = sort_keys(entries)
            counts = Counter(keys)
            tied += [entry for key, entry in zip(keys, entries, strict=True) if counts[key] > 1]
    text = (
        "lines share their score (as a 32-bit float) with another of their query: trec_eval and `lateint eval` put the "
        "larger document id first, ir-measures' msmarco provider the smaller, others keep the file order"
    )
    yield from _at_lines("ties", tied, text)


def _ranks(run: Run) -> Iterator[Finding]:
    from_zero = [query_id for query_id, entries in run.items() if min(entry.rank for entry in entries) == 0]
    text = "queries count ranks from 0 (as PyTerrier does): ms_marco_eval ignores their best hit; add 1 to all ranks"
    yield from _of_queries("rank base", from_zero, text)
    entries = [entry for _, ranking in run.items() for entry in ranking]
    negative = [entry for entry in entries if entry.rank < 0]
    yield from _at_lines("negative rank", negative, "lines: ms_marco_eval counts them from the end of its list")
    deep = [entry for entry in entries if entry.rank > MSMARCO_DEPTH]
    yield from _at_lines("deep rank", deep, f"lines have a rank over {MSMARCO_DEPTH}: ms_marco_eval rejects the whole file")
    repeated = [entry for _, ranking in run.items() for entry in _repeats(ranking, lambda entry: entry.rank)]
    yield from _at_lines("equal ranks", repeated, "lines repeat a rank: in ms_marco_eval the last one wins")
    gaps = [query_id for query_id, ranking in run.items() if _has_gap(ranking)]
    yield from _of_queries("rank gaps", gaps, "queries leave out ranks: ms_marco_eval fills them with passage 0")


def _has_gap(entries: list[RunEntry]) -> bool:
    positive = {entry.rank for entry in entries if entry.rank > 0}
    return len(positive) < max(positive, default=0)


def _repeats(entries: list[RunEntry], key: Callable[[RunEntry], object]) -> list[RunEntry]:
    """Return the entries whose key already occurred in an earlier line of the query."""
    seen: set[object] = set()
    repeated = []
    for entry in entries:
        if key(entry) in seen:
            repeated.append(entry)
        seen.add(key(entry))
    return repeated


def _disagreements(run: Run) -> Iterator[Finding]:
    wrong = [query_id for query_id, entries in run.items() if not _scores_follow_ranks(entries)]
    text = "queries where a worse rank has the better score: ms_marco_eval follows the ranks, all others the scores"
    yield from _of_queries("rank against score", wrong, text)


def _scores_follow_ranks(entries: list[RunEntry]) -> bool:
    scored = [entry for entry in entries if entry.score is not None and _finite(entry)]
    by_rank = sorted(scored, key=lambda entry: entry.rank)
    keys = sort_keys(by_rank)
    pairs = zip(pairwise(by_rank), pairwise(keys), strict=True)
    return not any(first.rank < second.rank and better < worse for (first, second), (better, worse) in pairs)


def _duplicates(run: Run) -> Iterator[Finding]:
    repeated = [entry for _, entries in run.items() for entry in _repeats(entries, lambda entry: entry.doc_id)]
    text = "lines repeat a document: trec_eval stops, dictionaries keep the last, ms_marco_eval counts both"
    yield from _at_lines("duplicates", repeated, text)


def _queries(qrels: Judgements, run: Run) -> Iterator[Finding]:
    missing = [query_id for query_id in qrels if query_id not in run.queries]
    text = (
        f"of {len(qrels)} judged queries are not in the run: 0 each here and in ms_marco_eval, "
        "left out of the average by BEIR and by trec_eval without -c"
    )
    yield from _of_queries("missing queries", missing, text)
    unjudged = [query_id for query_id in run.queries if query_id not in qrels]
    text = "queries of the run are not judged: ignored, but in ms_marco_eval's QueriesRanked"
    yield from _of_queries("unjudged queries", unjudged, text)
    own = [entry for query_id, entries in run.items() for entry in entries if entry.doc_id == query_id]
    yield from _at_lines("query as document", own, "lines rank a document with the query's id: BEIR drops them")


def _labels(qrels: Judgements, run: Run) -> Iterator[Finding]:
    zero = sum(label < 1 for labels in qrels.values() for label in labels.values())
    if zero:
        yield Finding("label 0", zero, "judgements have a label below 1: relevant in ms_marco_eval, which reads none")
    empty = [query_id for query_id, labels in qrels.items() if not any(label > 0 for label in labels.values())]
    yield from _of_queries("no positive", empty, "judged queries have no positive label: 0 each in every average")
    judged = [(qrels[query_id], entries) for query_id, entries in run.items() if query_id in qrels]
    unknown = [entry for labels, entries in judged for entry in entries if entry.doc_id not in labels]
    yield from _at_lines("unjudged documents", unknown, "lines hold no judged document: not relevant")


def _depth(run: Run) -> Iterator[Finding]:
    depths = [len(entries) for _, entries in run.items()]
    if not depths:
        yield Finding("depth", 0, "queries: the run is empty")
        return
    low, middle, high = min(depths), median(depths), max(depths)
    yield Finding("depth", len(depths), f"queries with {low} to {high} documents, median {middle:g}")
