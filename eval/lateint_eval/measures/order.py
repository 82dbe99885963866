"""The one order in which a run is scored: trec_eval's.

Score as a 32-bit float, larger first; equal scores by document id, larger first in byte order. A run without scores
(MS MARCO) is ordered by rank, equal ranks by the same rule. Source: trec_eval's form_res_rels.c, which ir-measures'
pytrec_eval provider runs; other providers break ties the other way, so ties are resolved before any provider sees them.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from lateint_eval.formats.records import Run, RunEntry
from lateint_store.errors import InputError


def ranked_ids(entries: Sequence[RunEntry]) -> list[str]:
    """Document ids, best first."""
    keys = sort_keys(entries)
    # Code points and UTF-8 bytes sort alike, so comparing strings is trec_eval's byte order.
    order = sorted(range(len(entries)), key=lambda at: (keys[at], entries[at].doc_id), reverse=True)
    return [entries[at].doc_id for at in order]


def sort_keys(entries: Sequence[RunEntry]) -> list[float]:
    """What the order compares first, larger is better: the score in 32 bits, or minus the rank."""
    if any(entry.score is None for entry in entries):
        return [-float(entry.rank) for entry in entries]
    return list(array("f", [entry.score for entry in entries if entry.score is not None]))


def refuse_duplicates(run: Run) -> None:
    """Raise InputError naming both lines if a document stands twice under one query (trec_eval stops there, too)."""
    for query_id, entries in run.items():
        seen: dict[str, int] = {}
        for entry in entries:
            first = seen.setdefault(entry.doc_id, entry.line)
            if first != entry.line:
                raise InputError(
                    f"{run.source}: document {entry.doc_id!r} of query {query_id!r} stands in lines {first} and "
                    f"{entry.line}; expected once; `lateint eval --audit` lists all repetitions"
                )
