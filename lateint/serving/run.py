"""Run the service: bind the address, load, and serve in this process or in workers forked from it."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from lateint.errors import InputError, MissingExtra
from lateint.serving.cluster_engine import AnyEngine, load_cluster_engine
from lateint.serving.engine import load_engine, shown_name
from lateint.serving.failures import log
from lateint.serving.keys import ApiKeys
from lateint.serving.options import ServeOptions

_PACKAGES = ("starlette", "uvicorn", "msgspec", "prometheus_client")
_SHARED = "PROMETHEUS_MULTIPROC_DIR"  # the folder in which workers share their numbers; read when the library is imported


def serve(options: ServeOptions, tell: Callable[[str], None]) -> int:
    """Serve until a signal comes. `tell` is given a line for the user. Returns: 0, or 130 if it was interrupted.

    Raises: MissingExtra; InputError for an address that is not free or keys that cannot be read; StoreMismatch and other
    errors of loading.
    """
    if absent := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        raise MissingExtra(absent[0], "serve")
    keys = None if options.api_key_file is None else ApiKeys.read(options.api_key_file)
    with ExitStack() as open_until_end:
        listener = open_until_end.enter_context(bound_socket(options.host, options.port))
        open_until_end.enter_context(_logged())
        forks = options.workers > 1
        if forks:
            os.environ[_SHARED] = open_until_end.enter_context(tempfile.TemporaryDirectory(prefix="lateint-metrics-"))
        from lateint.serving.metrics import forget_worker
        from lateint.serving.server import BACKLOG, serve_here
        from lateint.serving.workers import Workers

        shares = options.device in (None, "cpu")  # what a graphics processor holds cannot be shared by forking
        engine: AnyEngine | None = None
        if options.is_cluster:
            engine = load_cluster_engine(options, tell)
        elif shares or not forks:
            engine = load_engine(options)
        listener.listen(BACKLOG)  # before the address is told: who connects at once waits, and is not refused
        host, port = listener.getsockname()[:2]
        tell(f"serving {shown_name(options.store)} on http://{f'[{host}]' if ':' in host else host}:{port}")
        if keys is None and not options.is_loopback:
            tell(f"warning: other machines can reach {host}, and no --api-key-file is set")
        if not forks:
            return serve_here(options, engine, keys, listener)
        tell(f"{options.workers} workers, each forked {'after' if shares else 'before'} loading the model")
        # Closed here at the end, the address refuses connections as soon as the workers close it too.
        return Workers(lambda: serve_here(options, engine, keys, listener), forget_worker, listener.close).run(options.workers)


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
        reason = f"{error.strerror}; choose another --host or --port"
        raise InputError(f"cannot listen on {host} port {port}: {reason}") from error
    return listener


@contextmanager
def _logged() -> Iterator[None]:
    """Write the service's own log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("lateint: %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
