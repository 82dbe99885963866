"""Serve in one process: the event loop, and how it stops without losing a request."""

from __future__ import annotations

import asyncio
import signal
import socket
from types import FrameType

import uvicorn

from lateint.serving.app import create_app
from lateint.serving.caches import OpenCache
from lateint.serving.cluster_engine import AnyEngine
from lateint.serving.engine import load_engine
from lateint.serving.failures import log
from lateint.serving.keys import ApiKeys
from lateint.serving.options import MIB, ServeOptions
from lateint.serving.protocol import ImpatientProtocol
from lateint.serving.service import RerankService

BACKLOG = 2048
"""Connections that wait to be accepted."""
_HEADER_BYTES = 32 << 10
_KEEP_ALIVE_SECONDS = 75  # longer than the pools of clients keep an idle connection


class DrainingServer(uvicorn.Server):
    """A server that becomes unready at the first signal, serves on for `drain_ms`, finishes what it accepted, and ends."""

    def __init__(self, config: uvicorn.Config, service: RerankService) -> None:
        super().__init__(config)
        self._service = service
        self._loop = asyncio.get_running_loop()
        self.stopped_by: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second interruption stops at once."""
        if self.stopped_by is not None:
            if sig == self.stopped_by == signal.SIGINT:
                self.should_exit = self.force_exit = True
            return
        self.stopped_by = sig
        self._service.drain()
        self._loop.call_soon_threadsafe(self._loop.call_later, self._service.options.drain_ms / 1e3, self._refuse_connections)

    def _refuse_connections(self) -> None:
        self.should_exit = True


def serve_here(options: ServeOptions, engine: AnyEngine | None, keys: ApiKeys | None, listener: socket.socket) -> int:
    """Serve in this process until a signal comes; load first if there is no engine.

    Returns: 0, or 130 if it was interrupted. Raises: what `load_engine` raises.
    """
    return asyncio.run(_serve(options, load_engine(options) if engine is None else engine, keys, listener))


async def _serve(options: ServeOptions, engine: AnyEngine, keys: ApiKeys | None, listener: socket.socket) -> int:
    service = RerankService(options, engine, keys, _cache_opener(options))
    config = uvicorn.Config(
        create_app(service),
        http=ImpatientProtocol,
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",  # a warning a malformed request would let any client fill the log
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=options.timeout_ms // 1000 + 5,  # a client that reads nothing does not hold up the end
        h11_max_incomplete_event_size=_HEADER_BYTES,
    )
    server = DrainingServer(config, service)
    await server.serve(sockets=[listener])
    log.info("stopped")
    return 130 if server.stopped_by == signal.SIGINT else 0


def _cache_opener(options: ServeOptions) -> OpenCache | None:
    """Return what opens a text cache in the process that serves; None without one."""
    folder = options.cache
    if folder is None:
        return None
    from lateint.serving.text_cache import TextCache

    return lambda ranker: TextCache.open(folder, ranker.model, options.cache_mib * MIB, through=ranker.through)
