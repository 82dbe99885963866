"""Encode texts that no store holds: from the cache if it has them, else in batches across requests, in the background."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from lateint.indexing.chunks import Pieces, cut
from lateint.indexing.codecs import round_trip
from lateint.model.batching import UNSTORED_TOKENS, by_length
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.ranking.candidates import EncodedTexts
from lateint.ranking.ranker import Ranker
from lateint.serving.failures import too_large
from lateint.serving.pool import ScorerPool
from lateint_store import Pipeline, Ragged
from lateint_store.spec import Array

Arrays = Mapping[str, Array]


class Cache(Protocol):
    """What keeps the arrays of texts; see `text_cache.py`."""

    @property
    def problem(self) -> str | None:
        """Why the cache is off; None if it works."""
        ...

    def get(self, texts: Sequence[str]) -> list[dict[str, Array] | None]:
        """Return the decoded arrays of each text; None for one that is not kept."""
        ...

    def put(self, texts: Sequence[str], states: Sequence[dict[str, Array]]) -> None:
        """Keep the arrays that the model computed for these texts."""
        ...

    def statistics(self) -> Mapping[str, object]:
        """Return hits, misses, entries, bytes and evicted."""
        ...

    def close(self) -> None:
        """Close the cache."""
        ...


@dataclass(frozen=True, slots=True)
class ReadyTexts:
    """The arrays of the distinct texts of a request. `reused`: how many texts came from the cache; `tokens`: encoded now."""

    texts: EncodedTexts
    reused: int
    tokens: int


@dataclass(slots=True, eq=False)
class _Work:
    """Token rows of one request, the batches that are still to run, and the arrays as far as they are computed."""

    model: Model
    rows: Sequence[Sequence[int]]
    batches: deque[list[int]]
    done: asyncio.Future[None]
    entries: dict[int, dict[str, Array]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A request's pieces; `kept`: what the cache has of each; `rows`: tokens of the others; `cut`: texts without their end."""

    pieces: Pieces
    kept: list[dict[str, Array] | None]
    rows: list[list[int]]
    cut: int


class EncodingLane:
    """Encode the texts of many requests, one batch after the other; small batches of several requests run as one.

    A request alone has the batches of `Ranker.rank`, so its scores are equal bit for bit; others are equal to rounding, and to
    the codecs' bounds.
    """

    def __init__(self, pool: ScorerPool, cache: Cache | None, max_tokens: int) -> None:
        self._pool, self._cache, self._most = pool, cache, max_tokens
        self._waiting: deque[_Work] = deque()
        self._task: asyncio.Task[None] | None = None

    async def encode(self, ranker: Ranker, texts: Sequence[str], reuse: bool = True) -> ReadyTexts:
        """Return the arrays of distinct texts; with `reuse` those that the cache keeps are not encoded again.

        Raises: InputError; Refused for more tokens than a request may encode.
        """
        prepared = await self._pool.run_in_background(self._prepare, ranker, texts, reuse)
        tokens = sum(map(len, prepared.rows))
        if tokens > self._most:
            raise too_large(f"{tokens} tokens to encode; expected at most {self._most}: send fewer or shorter texts")
        batches = deque(by_length([len(row) for row in prepared.rows], UNSTORED_TOKENS))
        work = _Work(ranker.model, prepared.rows, batches, asyncio.get_running_loop().create_future())
        if prepared.rows:
            self._waiting.append(work)
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._drain())
            await work.done
        encoded = await self._pool.run_in_background(self._finish, ranker, prepared, work)
        reused = len(texts) if not prepared.rows else sum(_whole(prepared))
        return ReadyTexts(encoded, reused, tokens)

    def _prepare(self, ranker: Ranker, texts: Sequence[str], reuse: bool) -> _Prepared:
        documents = [Document(str(index), text) for index, text in enumerate(texts)]
        chunks = ranker.chunks
        pieces = Pieces(documents, [1] * len(documents)) if chunks is None else cut(chunks, ranker.model, documents)
        kept: list[dict[str, Array] | None] = [None] * len(pieces.documents)
        if self._cache is not None and self._cache.problem is None and reuse:
            kept = self._cache.get([piece.full_text for piece in pieces.documents])
        absent = [piece for piece, arrays in zip(pieces.documents, kept, strict=True) if arrays is None]
        rows, cut_off = ranker.model.tokenise(absent) if absent else ([], [])
        return _Prepared(pieces, kept, rows, pieces.cut + sum(cut_off))

    async def _drain(self) -> None:
        """Run batches, one request after the other in turn, so that a large one does not hold up the small ones."""
        while self._waiting:
            wanted = self._next_batch()
            if not wanted:
                continue
            model = wanted[0][0].model
            try:
                entries = await self._pool.run_in_background(model.encode, [work.rows[index] for work, index in wanted])
            except (Exception, asyncio.CancelledError) as error:
                _fail([work for work, _ in wanted], error)
                continue
            for (work, index), entry in zip(wanted, entries, strict=True):
                work.entries[index] = entry
                if len(work.entries) == len(work.rows) and not work.done.done():
                    work.done.set_result(None)

    def _next_batch(self) -> list[tuple[_Work, int]]:
        """Take the next batch of the request whose turn it is, and those of others as long as they fit into the same one."""
        wanted: list[tuple[_Work, int]] = []
        longest = 0
        for _ in range(len(self._waiting)):
            work = self._waiting[0]
            if work.done.done():  # its caller has given up
                self._waiting.popleft()
                continue
            batch = work.batches[0]
            padded = max(longest, max(len(work.rows[index]) for index in batch))
            if wanted and (work.model is not wanted[0][0].model or padded * (len(wanted) + len(batch)) > UNSTORED_TOKENS):
                break
            longest = padded
            wanted += [(work, index) for index in work.batches.popleft()]
            self._waiting.popleft()
            if work.batches:
                self._waiting.append(work)
        return wanted

    def _finish(self, ranker: Ranker, prepared: _Prepared, work: _Work) -> EncodedTexts:
        """Put what was encoded and what was kept together, in the order of the pieces."""
        entries = [work.entries[index] for index in range(len(work.rows))]
        model, through = ranker.model, ranker.through
        if self._cache is not None and entries:
            absent = [piece for piece, arrays in zip(prepared.pieces.documents, prepared.kept, strict=True) if arrays is None]
            self._cache.put([piece.full_text for piece in absent], entries)
        names = model.head.reads
        fresh = round_trip(entries, {name: through[name] for name in names}) if entries else {}
        if len(entries) == len(prepared.kept):
            return EncodedTexts(fresh, prepared.pieces.sizes, prepared.cut)
        numbers = iter(range(len(entries)))
        whole: list[Arrays] = []
        for kept in prepared.kept:
            if kept is None:
                number = next(numbers)
                whole.append({name: fresh[name][number] for name in names})
            else:
                whole.append(kept)
        return EncodedTexts({name: _joined(whole, name, through[name]) for name in names}, prepared.pieces.sizes, prepared.cut)


def _fail(works: Sequence[_Work], error: BaseException) -> None:
    """Hand an error of a batch to the requests that it was for."""
    for work in works:
        if not work.done.done():
            work.done.set_exception(error) if isinstance(error, Exception) else work.done.cancel()


def _joined(entries: Sequence[Arrays], name: str, pipeline: Pipeline) -> Ragged:
    """Put one array of several documents into one block."""
    arrays = [entry[name] for entry in entries]
    if pipeline.spec.rows == "one":
        return Ragged(np.stack(arrays), np.arange(len(arrays) + 1), pipeline.spec)
    return Ragged(np.concatenate(arrays), np.cumsum([0, *map(len, arrays)]), pipeline.spec)


def _whole(prepared: _Prepared) -> list[bool]:
    """Return for each text whether all its pieces came from the cache."""
    ends = np.cumsum(prepared.pieces.sizes)
    starts = ends - prepared.pieces.sizes
    return [None not in prepared.kept[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
