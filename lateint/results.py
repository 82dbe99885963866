"""Results of a ranking call: hits, their order, how long each phase took, and what a score is made of."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, overload

Phase = Literal["fetch", "decode", "encode", "compute"]
_SHOWN = 6  # matches in the text form of an explanation


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung of a ladder run: how many candidates a head scored, and the milliseconds that took in total."""

    head: str
    candidates: int
    ms: float


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds per phase of one call, and the bytes that it read.

    fetch: read bytes from LMDB; decode: turn bytes into arrays; encode: run documents that are not stored through the
    model; compute: run the query and the head.
    candidates: number of ranked documents, whatever their number of chunks. rungs: one per head that scored candidates in
    a ladder run. It is empty without a ladder, and if the budget was too small for the first rung; candidates then keep
    their given order.
    cut_queries: 1 if the end of the query was cut off at the model's query_max_length, else 0. cut_documents: how many
    distinct texts of `documents` lost their end; those of a store were counted when it was built.
    """

    fetch_ms: float
    decode_ms: float
    encode_ms: float
    compute_ms: float
    total_ms: float
    bytes_read: int
    candidates: int
    head: str
    rungs: tuple[Rung, ...] = ()
    cut_queries: int = 0
    cut_documents: int = 0


class Clock:
    """Measure one call: seconds per phase, bytes read, and rungs. The total runs from construction on."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._seconds: dict[Phase, float] = {"fetch": 0.0, "decode": 0.0, "encode": 0.0, "compute": 0.0}
        self.bytes_read = self.cut_queries = self.cut_documents = 0
        self.rungs: list[Rung] = []

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since construction."""
        return 1e3 * (time.perf_counter() - self._started)

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Add the time that the `with` block takes to a phase; a block that raises adds nothing."""
        start = time.perf_counter()
        yield
        self._seconds[name] += time.perf_counter() - start

    def timing(self, candidates: int, head: str) -> Timing:
        """Return the sums so far, in milliseconds."""
        return Timing(
            fetch_ms=1e3 * self._seconds["fetch"],
            decode_ms=1e3 * self._seconds["decode"],
            encode_ms=1e3 * self._seconds["encode"],
            compute_ms=1e3 * self._seconds["compute"],
            total_ms=self.elapsed_ms,
            bytes_read=self.bytes_read,
            candidates=candidates,
            head=head,
            rungs=tuple(self.rungs),
            cut_queries=self.cut_queries,
            cut_documents=self.cut_documents,
        )


def combine_timings(timings: Sequence[Timing], clock: Clock) -> Timing:
    """Combine the timings of consecutive calls, each on candidates of the one before.

    `clock` was started before the first call and gives the total. A call without rungs counts as one rung.
    """
    rungs = [timing.rungs or (Rung(timing.head, timing.candidates, timing.total_ms),) for timing in timings]
    return Timing(
        fetch_ms=sum(timing.fetch_ms for timing in timings),
        decode_ms=sum(timing.decode_ms for timing in timings),
        encode_ms=sum(timing.encode_ms for timing in timings),
        compute_ms=sum(timing.compute_ms for timing in timings),
        total_ms=clock.elapsed_ms,
        bytes_read=sum(timing.bytes_read for timing in timings),
        candidates=timings[0].candidates,
        head=timings[-1].head,
        rungs=tuple(rung for rungs_of_call in rungs for rung in rungs_of_call),
        cut_queries=max(timing.cut_queries for timing in timings),
        cut_documents=sum(timing.cut_documents for timing in timings),
    )


@dataclass(frozen=True, slots=True)
class Hit:
    """A ranked document; `score` is the raw logit."""

    doc_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Ranking(Sequence[Hit]):
    """Hits from best to worst; equal scores are sorted by id."""

    hits: tuple[Hit, ...]
    timing: Timing

    def __len__(self) -> int:
        return len(self.hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...

    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)


@dataclass(frozen=True, slots=True)
class Match:
    """A word of a query, the word of a document that is most similar to it, and the share of the score that it brings.

    query_word: as the query writes it; a special token as the vocabulary writes it, such as `[CLS]`.
    document_word: as the vocabulary writes it; None if the stored arrays hold no word ids. Then `position` alone says where.
    position: the index of the word's first row among the stored rows of its chunk, from 0. With every token stored it is the
    token's position, special tokens included.
    share: in units of the score. chunk: the number of the document's chunk, 0 for a document that is stored whole.
    """

    query_word: str
    document_word: str | None
    position: int
    share: float
    chunk: int = 0

    def __str__(self) -> str:
        """Return `order→sort`, or `order→row 12` where words are not known."""
        found = f"row {self.position}" if self.document_word is None else _printable(self.document_word)
        return f"{_printable(self.query_word)}→{found}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A document's score as a sum: the shares of `matches`, largest first, and of `parts`, the rest of the score by name.

    score: the raw logit, as `Ranker.rank` gives it. The sum of all shares differs from it by rounding alone, less than
    1e-4. `dataclasses.asdict` gives plain data for JSON; `str` a line of the largest shares.
    """

    doc_id: str
    score: float
    matches: tuple[Match, ...]
    parts: dict[str, float]

    def __str__(self) -> str:
        """Return `score = share word→word + ... + share part`: the largest matches, and the sum of all others."""
        terms = [(match.share, str(match)) for match in self.matches[:_SHOWN]]
        if others := self.matches[_SHOWN:]:
            terms.append((sum(match.share for match in others), f"{len(others)} more"))
        terms += [(share, name) for name, share in self.parts.items()]
        line = f"{self.score:.2f} ="
        for number, (share, name) in enumerate(terms):
            sign = "" if number == 0 else "- " if share < 0 else "+ "
            line += f" {sign}{abs(share) if sign else share:.2f} {name}"
        return line


def _printable(word: str) -> str:
    """Escape what a terminal would obey: control characters, and marks that reorder text."""
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in word)
