"""MRR@10 as the official MS MARCO script computes it, and without the script's quirks.

`compatible` returns what the official script would print, quirks included; `strict` raises an error where a quirk would
change the result. Both read ranks, never scores, and divide by the number of judged queries. eval/README.md lists the quirks.
Source: semantics of microsoft/MSMARCO-Passage-Ranking ms_marco_eval.py; this code is our own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lateint_eval.formats.records import Judgements, Run, RunEntry
from lateint_eval.formats.run_writer import MSMARCO_DEPTH
from lateint_store.errors import FormatError, InputError

_CUTOFF = 10
_UNFILLED = "0"  # the official script puts this passage id at ranks that the run leaves out
_NO_MATCH = "no query of the run is judged; are these the qrels of this query set?"


@dataclass(frozen=True, slots=True)
class MsMarcoResult:
    """MRR@10, the counts that the official script prints, and warnings."""

    mrr: float
    queries_ranked: int  # queries in the run, judged or not
    judged: int  # queries in the qrels: the divisor
    message: str = ""  # the official script's message about a repeated passage
    warnings: tuple[str, ...] = ()

    def official_text(self) -> str:
        """Return the official script's output, byte for byte (its message may name PID 0; ours names the repeated passage)."""
        bar = "#####################"
        lines = [self.message] if self.message else []
        return "\n".join([*lines, bar, f"MRR @10: {self.mrr}", f"QueriesRanked: {self.queries_ranked}", bar]) + "\n"


def compatible(qrels: Judgements, run: Run) -> MsMarcoResult:
    """Score a run as the official script does.

    Labels are ignored, the last line of a rank wins, rank 0 is lost, and missing ranks are filled with passage 0.

    Ids need not be integers; if they are, "07" and "7" are the same id.
    Raises: FormatError for a rank over 1000 (or under -999), InputError if no query of the run is judged.
    """
    relevant: dict[str, set[str]] = {}
    for query_id, labels in qrels.items():
        relevant.setdefault(_canonical(query_id), set()).update(map(_canonical, labels))
    slots: dict[str, list[str]] = {}
    for query_id, entries in run.items():
        _fill(slots.setdefault(_canonical(query_id), [_UNFILLED] * MSMARCO_DEPTH), entries, run.source)
    if not relevant.keys() & slots.keys():
        raise InputError(f"{run.source}: {_NO_MATCH}")
    total = 0.0
    for query_id, pids in slots.items():
        total += _reciprocal_rank(pids, relevant.get(query_id, set()))
    warnings = _warnings(qrels, run, relevant, slots)
    return MsMarcoResult(total / len(relevant), len(slots), len(relevant), _repetition(slots), warnings)


def strict(qrels: Judgements, run: Run) -> MsMarcoResult:
    """Score a run with labels >= 1 as relevant, without the quirks of the official script.

    Raises: FormatError for a rank outside 1..1000, or a rank or passage that occurs twice for a query; InputError if no
    query of the run is judged.
    """
    total = 0.0
    for query_id, entries in run.items():
        pids = _checked(entries, run.source)
        labels = qrels.get(query_id, {})
        hits = [rank for rank, pid in pids.items() if rank <= _CUTOFF and labels.get(pid, 0) >= 1]
        total += 1 / min(hits) if hits else 0.0
    judged = [query_id for query_id in run.queries if query_id in qrels]
    if not judged:
        raise InputError(f"{run.source}: {_NO_MATCH}")
    unjudged = len(run) - len(judged)
    warnings = (f"{unjudged} queries of the run are not judged and not counted",) if unjudged else ()
    return MsMarcoResult(total / len(qrels), len(run), len(qrels), warnings=warnings)


def _checked(entries: list[RunEntry], source: str) -> dict[int, str]:
    pids: dict[int, str] = {}
    lines: dict[str, int] = {}
    for entry in entries:
        if not 1 <= entry.rank <= MSMARCO_DEPTH:
            raise FormatError(source, entry.line, f"rank {entry.rank}; expected 1..{MSMARCO_DEPTH}{_rank_hint(entry.rank)}")
        if entry.rank in pids:
            raise FormatError(source, entry.line, f"rank {entry.rank} occurs twice for this query")
        if entry.doc_id in lines:
            reason = f"passage {entry.doc_id!r} of this query is already in line {lines[entry.doc_id]}"
            raise FormatError(source, entry.line, reason)
        pids[entry.rank], lines[entry.doc_id] = entry.doc_id, entry.line
    return pids


def _rank_hint(rank: int) -> str:
    return " (PyTerrier counts ranks from 0: add 1)" if rank == 0 else ""


def _canonical(name: str) -> str:
    try:
        return str(int(name))
    except ValueError:
        return name


def _fill(slots: list[str], entries: list[RunEntry], source: str) -> None:
    for entry in entries:
        if not -MSMARCO_DEPTH < entry.rank <= MSMARCO_DEPTH:
            reason = f"rank {entry.rank}; expected 1..{MSMARCO_DEPTH} (the official script rejects the file)"
            raise FormatError(source, entry.line, reason)
        # As in the official script, this is a list index: rank 0 and below count from the end.
        slots[entry.rank - 1] = _canonical(entry.doc_id)


def _reciprocal_rank(pids: list[str], relevant: set[str]) -> float:
    return next((1 / rank for rank, pid in enumerate(pids[:_CUTOFF], start=1) if pid in relevant), 0.0)


def _repetition(slots: dict[str, list[str]]) -> str:
    message = ""
    for query_id, pids in slots.items():
        repeated = next((pid for pid, count in Counter(pids).items() if count > 1 and pid != _UNFILLED), None)
        if repeated is not None:
            message = f"Cannot rank a passage multiple times for a single query. QID={query_id}, PID={repeated}"
    return message


def _warnings(qrels: Judgements, run: Run, relevant: dict[str, set[str]], slots: dict[str, list[str]]) -> tuple[str, ...]:
    entries = [entry for _, ranking in run.items() for entry in ranking]
    repeats = sum(len(ranking) - len({entry.rank for entry in ranking}) for _, ranking in run.items())
    zero_labels = sum(label < 1 for labels in qrels.values() for label in labels.values())
    ranks_zero = {_canonical(query_id) for query_id, ranking in run.items() if _holds_zero(ranking)}
    invented = sum(
        _UNFILLED in pids and _UNFILLED in slots.get(query_id, [])[:_CUTOFF] and query_id not in ranks_zero
        for query_id, pids in relevant.items()
    )
    found = (
        (sum(entry.rank < 1 for entry in entries), "lines with a rank below 1: their passages are lost"),
        (repeats, "lines repeat a rank of their query: the last one wins"),
        (len(slots.keys() - relevant.keys()), "queries are not judged but counted in QueriesRanked"),
        (zero_labels, "judgements with a label below 1 count as relevant"),
        (invented, "queries have passage 0 as relevant and unfilled ranks, which count as passage 0"),
    )
    return tuple(f"{count} {what}" for count, what in found if count)


def _holds_zero(entries: list[RunEntry]) -> bool:
    return any(_canonical(entry.doc_id) == _UNFILLED for entry in entries)
