"""Gather queries that arrive at the same time into batches: a query in a batch takes a third of the time of one alone."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from lateint.heads.inputs import Query
from lateint.model.model import Model
from lateint.serving.pool import ScorerPool
from lateint_store.errors import InputError

_AT_ONCE = 32


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    model: Model
    text: str
    state: asyncio.Future[Query]


class QueryGatherer:
    """Run the query layers for queries of many requests.

    A query that comes while nothing runs starts at once. Otherwise it waits up to `gather_ms` for others, and for the batch
    that runs. Its state equals that of `Model.query` bit for bit if its batch has no other query of its length, else to
    rounding.
    """

    def __init__(self, pool: ScorerPool, gather_ms: float) -> None:
        self._pool, self._seconds = pool, gather_ms / 1e3
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """True if nothing runs and no query waits: then there is nothing to gather."""
        return not self._waiting and not self._pool.busy and not self._pool.waiting

    async def state(self, model: Model, text: str) -> Query:
        """Return the state of one query. Raises: InputError for a query without a token."""
        waiting = _Waiting(model, text, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return await waiting.state

    async def _drain(self) -> None:
        if self._pool.busy and self._seconds:
            await asyncio.sleep(self._seconds)
        while self._waiting:
            model = self._waiting[0].model
            batch: list[_Waiting] = []
            while self._waiting and len(batch) < _AT_ONCE and self._waiting[0].model is model:
                waiting = self._waiting.popleft()
                if not waiting.state.done():  # its caller may have given up
                    batch.append(waiting)
            if batch:
                await self._run(model, batch)

    async def _run(self, model: Model, batch: list[_Waiting]) -> None:
        try:
            results = await self._pool.run(_encode, model, [waiting.text for waiting in batch])
        except (Exception, asyncio.CancelledError) as error:
            results = [error] * len(batch)
        for waiting, result in zip(batch, results, strict=True):
            if waiting.state.done():
                continue
            if isinstance(result, Query):
                waiting.state.set_result(result)
            elif isinstance(result, Exception):
                waiting.state.set_exception(result)
            else:
                waiting.state.cancel()


def _encode(model: Model, texts: list[str]) -> list[Query | BaseException]:
    """Return a state for each query, or the reason why it has none: one bad query fails no other."""
    try:
        return [*model.queries(texts)]
    except InputError as error:
        if len(texts) == 1:
            return [error]
        return [found for text in texts for found in _encode(model, [text])]
