"""Plain data of the readers: documents, runs, candidate lists, judgements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = dict[str, Any]  # a JSON object
Qrels = dict[str, dict[str, int]]  # {query id: {document id: label}}
Judgements = Mapping[str, Mapping[str, int]]  # `Qrels` for functions that do not change them

LARGEST_LABEL = 10_000  # tools reserve memory for every level up to the largest label of a query
LARGEST_RANK = 2**31 - 1


def joined_text(title: str, text: str) -> str:
    """Join title and text with one space, then strip the result, as BEIR does.

    >>> joined_text("", "An apple.")
    'An apple.'
    """
    return f"{title} {text}".strip()


@dataclass(frozen=True, slots=True)
class Doc:
    """One document of a corpus; `line` is its line number in the file (from 1)."""

    id: str
    title: str
    text: str
    line: int

    @property
    def full_text(self) -> str:
        """Return title and text joined by `joined_text`."""
        return joined_text(self.title, self.text)


@dataclass(frozen=True, slots=True)
class CandidateList:
    """The documents to re-rank for one query, best first if the file has scores or ranks.

    `texts` and `scores` (of the first stage) are as long as `doc_ids`, or None if the file has none.
    """

    query_id: str
    query_text: str | None
    doc_ids: list[str]
    texts: list[str] | None = None
    scores: list[float] | None = None


class RunEntry(NamedTuple):
    """One line of a run; `score` is None if the format has no scores (MS MARCO)."""

    doc_id: str
    rank: int
    score: float | None
    line: int


@dataclass(frozen=True, slots=True)
class Run:
    """A run as read from its file: queries in order of first occurrence, entries in file order, duplicates kept."""

    source: str
    queries: dict[str, list[RunEntry]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.queries)

    def items(self) -> Iterator[tuple[str, list[RunEntry]]]:
        """Yield (query id, entries)."""
        yield from self.queries.items()
