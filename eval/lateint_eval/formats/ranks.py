"""Tell ranks from scores in runs of three columns (MS MARCO), which name neither."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lateint_eval.formats.records import Run, RunEntry
from lateint_store.errors import FormatError


def check_ranks(run: Run) -> None:
    """Refuse an MS MARCO run whose ranks may be scores, because the two sort in opposite directions.

    The ranks of a query must be 1 to n, in lines of any order. As the official script allows, ranks may also leave gaps, if
    they start at 1 and increase from line to line. Entries with scores are not checked, because their ranks are not used.
    Raises: FormatError at the first doubtful line.
    """
    for query_id, entries in run.items():
        ranks = [entry.rank for entry in entries if entry.score is None]
        if any(rank != at for at, rank in enumerate(ranks, start=1)) and not _in_order(ranks):
            raise _doubtful_rank(run.source, query_id, entries)


def _in_order(ranks: list[int]) -> bool:
    """True for 1 to n in any order, and for increasing ranks from 1 on."""
    if sorted(ranks) == list(range(1, len(ranks) + 1)):
        return True
    return ranks[0] == 1 and all(low < high for low, high in pairwise(ranks))


def _doubtful_rank(source: str, query_id: str, entries: Sequence[RunEntry]) -> FormatError:
    """Make the error of the first line whose rank repeats, or is outside 1 to n."""
    n, seen, line, rank = len(entries), set[int](), entries[0].line, entries[0].rank
    for entry in entries:
        if not 1 <= entry.rank <= n or entry.rank in seen:
            line, rank = entry.line, entry.rank
            break
        seen.add(entry.rank)
    advice = "count ranks from 1" if rank == 0 else "if these are scores, write a TREC run, `qid Q0 docid rank score tag`"
    return FormatError(source, line, f"rank {rank} among {n} of query {query_id!r}; expected 1 to {n}, each once: {advice}")
