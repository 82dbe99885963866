"""Where the time of one ranking went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rung:
    """What one rung of a ladder did: so many candidates under a head, in so many milliseconds, everything included."""

    head: str
    candidates: int
    ms: float


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time of one call went, in milliseconds, and what was read.

    fetch: bytes out of LMDB; decode: bytes to arrays; encode: documents that were not stored; compute: query and head.
    candidates: documents that were ranked, however many chunks they have. rungs: what was scored how, by a ladder; empty
    without one, and where a budget was too small for its first rung: then candidates stand in the order they were given in.
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


class Clock:
    """Adds up seconds by phase, from the moment it is made."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.fetch = self.decode = self.encode = self.compute = 0.0
        self.bytes_read = 0
        self.rungs: list[Rung] = []

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since it was made."""
        return 1e3 * (time.perf_counter() - self.started)

    def time(self, phase: str, work: Callable[[], Any]) -> Any:
        """Do the work and add what it took to a phase."""
        start = time.perf_counter()
        result = work()
        setattr(self, phase, getattr(self, phase) + time.perf_counter() - start)
        return result

    def timing(self, candidates: int, head: str) -> Timing:
        """What was added up, in milliseconds."""
        return Timing(
            fetch_ms=1e3 * self.fetch,
            decode_ms=1e3 * self.decode,
            encode_ms=1e3 * self.encode,
            compute_ms=1e3 * self.compute,
            total_ms=self.elapsed_ms,
            bytes_read=self.bytes_read,
            candidates=candidates,
            head=head,
            rungs=tuple(self.rungs),
        )


def combine_timings(timings: Sequence[Timing], clock: Clock) -> Timing:
    """The timing of calls one after the other on what the first one was given; the clock began before it."""
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
        rungs=tuple(rung for some in rungs for rung in some),
    )


@dataclass(frozen=True, slots=True)
class Hit:
    """One ranked document; `score` is the raw logit."""

    doc_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Ranking(Sequence[Hit]):
    """Hits from best to worst; equal scores stand in the order of their ids."""

    hits: tuple[Hit, ...]
    timing: Timing

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, index: Any) -> Any:
        return self.hits[index]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)
