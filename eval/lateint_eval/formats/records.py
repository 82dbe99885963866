"""What the readers yield: documents, run entries, candidate lists. Pure data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Qrels = dict[str, dict[str, int]]
Judgements = Mapping[str, Mapping[str, int]]  # what functions take that only read them


def joined_text(title: str, text: str) -> str:
    """Join title and text the BEIR way: one space between, then stripped.

    >>> joined_text("", "An apple.")
    'An apple.'
    """
    return f"{title} {text}".strip()


@dataclass(frozen=True, slots=True)
class Doc:
    """One document of a corpus; `line` is where it stands in its file (from 1)."""

    id: str
    title: str
    text: str
    line: int

    @property
    def full_text(self) -> str:
        """Title and text joined the BEIR way."""
        return joined_text(self.title, self.text)


@dataclass(frozen=True, slots=True)
class CandidateList:
    """The documents to re-rank for one query, best first where the file says what is best.

    `texts` and `scores` are None if the file has none, else as long as `doc_ids`. Scores are the first stage's.
    """

    query_id: str
    query_text: str | None
    doc_ids: list[str]
    texts: list[str] | None = None
    scores: list[float] | None = None


class RunEntry(NamedTuple):
    """One line of a run; `score` is None where the format has none (MS MARCO)."""

    doc_id: str
    rank: int
    score: float | None
    line: int


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its file has it: queries in order of first appearance, entries in file order, duplicates kept."""

    source: str
    queries: dict[str, list[RunEntry]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.queries)

    def items(self) -> Iterator[tuple[str, list[RunEntry]]]:
        """Yield (query id, entries)."""
        yield from self.queries.items()
