"""The order in which every run is scored: trec_eval's.

Documents are sorted by score as a 32-bit float, larger first, then by document id in byte order, larger first. A run
without scores (MS MARCO) is sorted by rank, then by document id in the same way. Source: trec_eval's form_res_rels.c, which
ir-measures' pytrec_eval provider runs. Other providers break ties the other way, so ties are broken before ir-measures runs.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from lateint_eval.formats.records import Run, RunEntry
from lateint_store.errors import InputError


def ranked_ids(entries: Sequence[RunEntry]) -> list[str]:
    """Return the document ids, best first."""
    keys = sort_keys(entries)
    # Code points sort like UTF-8 bytes, so comparing strings gives trec_eval's byte order.
    order = sorted(range(len(entries)), key=lambda at: (keys[at], entries[at].doc_id), reverse=True)
    return [entries[at].doc_id for at in order]


def sort_keys(entries: Sequence[RunEntry]) -> list[float]:
    """Return the primary sort keys, larger is better: scores as 32-bit floats, or negated ranks."""
    if any(entry.score is None for entry in entries):
        return [-float(entry.rank) for entry in entries]
    return list(array("f", [entry.score for entry in entries if entry.score is not None]))


def refuse_duplicates(run: Run) -> None:
    """Raise InputError with both line numbers if a document occurs twice for a query (trec_eval stops there as well)."""
    for query_id, entries in run.items():
        seen: dict[str, int] = {}
        for entry in entries:
            first = seen.setdefault(entry.doc_id, entry.line)
            if first != entry.line:
                raise InputError(
                    f"{run.source}: document {entry.doc_id!r} of query {query_id!r} is in lines {first} and "
                    f"{entry.line}; expected it once; `lateint eval --audit` lists all repetitions"
                )
