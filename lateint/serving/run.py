"""Run the service: load, bind, serve, and stop on a signal without losing a request."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from lateint.serving.app import create_app
from lateint.serving.engine import Engine, load_engine, shown_name
from lateint.serving.failures import log
from lateint.serving.keys import ApiKeys
from lateint.serving.options import ServeOptions
from lateint.serving.service import RerankService
from lateint.serving.workers import run_workers
from lateint_store.errors import InputError

_BACKLOG = 2048
_HEADER_BYTES = 32 << 10
_KEEP_ALIVE_SECONDS = 75  # longer than the pools of clients keep an idle connection


class DrainingServer(uvicorn.Server):
    """A server that becomes unready at the first signal, serves on for `drain_ms`, finishes what it accepted, and ends."""

    def __init__(self, config: uvicorn.Config, service: RerankService) -> None:
        super().__init__(config)
        self._service = service
        self.stopped_by: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second signal stops at once."""
        if self.stopped_by is not None:
            self.should_exit = self.force_exit = True
            return
        self.stopped_by = sig
        self._service.drain()
        log.warning("stopping: unready now, finishing what was accepted")
        loop = asyncio.get_event_loop_policy().get_event_loop()
        loop.call_soon_threadsafe(loop.call_later, self._service.options.drain_ms / 1e3, self._refuse_connections)

    def _refuse_connections(self) -> None:
        self.should_exit = True


def serve(options: ServeOptions, tell: Callable[[str], None]) -> int:
    """Serve until a signal comes. `tell` is given a line for the user. Returns: 0, or 130 if it was interrupted.

    Raises: InputError for an address that is not free or keys that cannot be read; StoreMismatch and other errors of loading.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("lateint: %(message)s"))
    log.addHandler(handler)
    try:
        keys = None if options.api_key_file is None else ApiKeys.read(options.api_key_file)
        with bound_socket(options.host, options.port) as listener:
            forks = options.workers > 1
            after_loading = options.device in (None, "cpu")  # what a graphics processor holds cannot be shared by forking
            engine = load_engine(options) if after_loading or not forks else None
            host, port = listener.getsockname()[:2]
            tell(f"serving {shown_name(options.store)} on http://{f'[{host}]' if ':' in host else host}:{port}")
            if keys is None and not options.is_loopback:
                tell(f"warning: {host} can be reached by other machines, and no --api-key-file is set")
            if not forks:
                return _serve_here(options, engine, keys, listener)
            tell(f"{options.workers} workers, each forked {'after' if after_loading else 'before'} loading the model")
            return run_workers(options.workers, lambda: _serve_here(options, engine, keys, listener))
    finally:
        log.removeHandler(handler)


def bound_socket(host: str, port: int) -> socket.socket:
    """Bind an address, before anything is loaded. Raises: InputError if it is not free, or not one of this machine."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InputError(f"host {host!r} has no address: {error}; expected one of this machine, such as 127.0.0.1") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise InputError(f"cannot listen on {host} port {port}: {error.strerror}; choose another --host or --port") from error
    return listener


def _serve_here(options: ServeOptions, engine: Engine | None, keys: ApiKeys | None, listener: socket.socket) -> int:
    """Serve in this process."""
    return asyncio.run(_serve(options, engine, keys, listener))


async def _serve(options: ServeOptions, engine: Engine | None, keys: ApiKeys | None, listener: socket.socket) -> int:
    if engine is None:
        engine = load_engine(options)
    service = RerankService(options, engine, keys)
    config = uvicorn.Config(
        create_app(service),
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        h11_max_incomplete_event_size=_HEADER_BYTES,
    )
    server = DrainingServer(config, service)
    await server.serve(sockets=[listener])
    return 130 if server.stopped_by == signal.SIGINT else 0
