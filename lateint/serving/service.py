"""The service: an engine, the parts that schedule its work, and whether it is ready."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from dataclasses import replace

from lateint.errors import LateintError, StoreMismatch, StoreNotFound
from lateint.serving.admission import Admission
from lateint.serving.caches import OpenCache, TextCaches
from lateint.serving.cluster_engine import AnyEngine
from lateint.serving.encoding import EncodingLane
from lateint.serving.engine import Engine, reopened
from lateint.serving.failures import Failure, Refused, failure_of, log
from lateint.serving.gathering import QueryGatherer
from lateint.serving.keys import ApiKeys
from lateint.serving.metrics import ServiceMetrics
from lateint.serving.options import ServeOptions
from lateint.serving.pool import ScorerPool, processors
from lateint.serving.requests import Limits, RerankAnswer, RerankRequest
from lateint.serving.rerank import RequestRanker

_REOPEN_SECONDS = 1.0  # between two attempts to follow a store that was replaced


class RerankService:
    """Ranks requests. Make it in the process, and `close` it in the process, that serves; threads start with it.

    Args: `engine`, warmed up; `open_cache`, what opens a text cache, None for none.
    """

    def __init__(
        self, options: ServeOptions, engine: AnyEngine, keys: ApiKeys | None = None, open_cache: OpenCache | None = None
    ) -> None:
        self.options, self.engine, self.keys = options, engine, keys
        self.limits = Limits.of(options)
        self.metrics = ServiceMetrics()
        self.cache = None if open_cache is None else TextCaches(open_cache, engine)
        share = processors() / options.workers
        self.pool = ScorerPool(options.scorers or math.ceil(share) + 1)
        self.admission = Admission(options.max_requests, options.latency_ms, share)
        lane = EncodingLane(self.pool, options.max_tokens)
        self._ranker = RequestRanker(self.pool, QueryGatherer(self.pool, options.gather_ms), lane)
        self._reopening: asyncio.Task[None] | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._prepared: str | None = None  # content digest of the store that was prepared last
        self._next_attempt = 0.0
        self._failure: Failure | None = None
        self.draining = False

    @property
    def problem(self) -> str | None:
        """Why requests cannot be ranked in full now; None if they can."""
        return self.engine.problem if self._failure is None else self._failure.message

    @property
    def ready(self) -> bool:
        """True if requests are welcome."""
        return self.problem is None and not self.draining

    def drain(self) -> None:
        """Become unready; requests are still answered."""
        self.draining = True

    async def close(self) -> None:
        """Wait for work that has started, and close everything."""
        self.draining = True
        await asyncio.to_thread(self.pool.close)
        if self._preparing is not None:
            await self._preparing
        self.engine.close()
        if self.cache is not None:
            self.cache.close()

    async def rerank(self, request: RerankRequest) -> RerankAnswer:
        """Rank one request within its deadline. Raises: Refused, LateintError."""
        request.check(self.limits)
        seconds = self.options.timeout_ms / 1e3
        with self.admission.enter(self.engine, request) as admitted:
            try:
                async with asyncio.timeout(seconds):
                    answer = await self._follow(request, admitted.budget_ms)
            except TimeoutError as error:
                reason = f"no answer within {self.options.timeout_ms} ms; try again in 1 s, or send fewer candidates"
                raise Refused(Failure(503, "deadline", reason, retry_after=1)) from error
            self.admission.took(answer.timing_ms["total"])
            self._prepare(answer.store_digest)
            return replace(answer, overload=admitted.overload)

    async def check(self) -> None:
        """See whether the store is still at its path, and open the one that is there now if it is not."""
        engine, held = self.engine, self._failure is None
        if held and await asyncio.to_thread(engine.is_current):
            self._prepare(None)
            return
        with suppress(Refused):
            await self._reopen(engine)

    def _prepare(self, digest: str | None) -> None:
        """Prepare the store in the background if it may have changed, so that no request waits for a check of its id index.

        `digest`: that of its content as a request has read it; None if nobody has.
        """
        idle = self._preparing is None or self._preparing.done()
        if idle and (digest is None or digest != self._prepared):
            self._prepared = digest
            self._preparing = asyncio.create_task(_prepared(self.engine))

    async def _follow(self, request: RerankRequest, budget_ms: float | None) -> RerankAnswer:
        """Rank; if the path holds another store now, open that one and rank again."""
        engine = self.engine
        if self._failure is None:
            try:
                return await self._ranker.answer(engine, request, budget_ms)
            except (StoreMismatch, StoreNotFound):
                if await asyncio.to_thread(engine.is_current):  # one document is foreign: no reason to open the store again
                    raise
        await self._reopen(engine)
        return await self._ranker.answer(self.engine, request, budget_ms)

    async def _reopen(self, stale: AnyEngine) -> None:
        """Replace an engine whose store is no longer at its path. Raises: Refused.

        It is done once for all requests that wait, and goes on if their time is over.
        """
        if self._reopening is None or self._reopening.done():
            if self.engine is not stale:
                return  # another request has done it
            if self._failure is not None and time.monotonic() < self._next_attempt:
                raise Refused(self._failure)
            self._reopening = asyncio.create_task(self._open_again(stale))
        await asyncio.shield(self._reopening)
        if self._failure is not None:
            raise Refused(self._failure)

    def _reopened(self, stale: AnyEngine) -> Engine:
        assert isinstance(stale, Engine)  # a set that owners serve is never stale
        engine = reopened(stale, self.options)
        if self.cache is not None:
            self.cache.give(engine)
        return engine

    async def _open_again(self, stale: AnyEngine) -> None:
        try:
            self.engine = await self.pool.run(self._reopened, stale)
        except LateintError as error:
            self._failure = failure_of(error)
            self._next_attempt = time.monotonic() + _REOPEN_SECONDS
            log.error("cannot follow the store: %s", error)
            return
        self._failure = None
        log.warning("the store was replaced; its new content is served")
        seconds = self.options.timeout_ms / 1e3 + 1.0  # until no request can read the old one
        asyncio.get_running_loop().call_later(seconds, stale.close)


async def _prepared(engine: AnyEngine) -> None:
    with suppress(LateintError):  # a request that reads what is damaged or gone is told so
        await asyncio.to_thread(engine.prepare)
