"""Results of a ranking call: hits, their order, and how long each phase took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, overload

Phase = Literal["fetch", "decode", "encode", "compute"]


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
