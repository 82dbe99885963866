"""Encode texts that no store holds: from the cache if it has them, else in batches across requests, in the background."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from lateint.model.batching import UNSTORED_TOKENS, by_length
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.ranking.candidates import EncodedTexts
from lateint.ranking.ranker import Ranker
from lateint.serving.caching import CachedTexts
from lateint.serving.pool import ScorerPool
from lateint_store.spec import Array


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


class EncodingLane:
    """Encode the texts of many requests, one batch after the other; small batches of several requests run as one.

    A request alone has the batches of `Ranker.rank`, so its scores are equal bit for bit; others are equal to rounding, and to
    the codecs' bounds.
    """

    def __init__(self, pool: ScorerPool, max_tokens: int) -> None:
        self._pool, self.most_tokens = pool, max_tokens
        self._waiting: deque[_Work] = deque()
        self._task: asyncio.Task[None] | None = None

    async def encode(self, ranker: Ranker, texts: Sequence[str], reuse: bool = True) -> ReadyTexts:
        """Return the arrays of distinct texts; with `reuse` those that the ranker's cache keeps are not encoded again.

        Raises: InputError; Refused for more tokens than a request may encode.
        """
        documents = [Document(str(index), text) for index, text in enumerate(texts)]
        found = await self._pool.run_in_background(CachedTexts.look_up, ranker, documents, reuse)
        tokens = found.check_tokens(self.most_tokens)
        batches = deque(by_length([len(row) for row in found.rows], UNSTORED_TOKENS))
        work = _Work(ranker.model, found.rows, batches, asyncio.get_running_loop().create_future())
        if found.rows:
            self._waiting.append(work)
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._drain())
            await work.done
        entries = [work.entries[index] for index in range(len(work.rows))]
        encoded = await self._pool.run_in_background(found.complete, ranker, entries)
        return ReadyTexts(encoded, found.reused, tokens)

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


def _fail(works: Sequence[_Work], error: BaseException) -> None:
    """Hand an error of a batch to the requests that it was for."""
    for work in works:
        if not work.done.done():
            work.done.set_exception(error) if isinstance(error, Exception) else work.done.cancel()
