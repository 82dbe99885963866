"""A client that takes little of the processor: prepared requests over raw sockets, one thread for all connections."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_AT_ONCE = 1 << 18
_END_OF_HEAD = b"\r\n\r\n"


@dataclass
class Answered:
    """What a load took: milliseconds of each request, seconds of all, seconds of the client's own processor time."""

    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0
    client_seconds: float = 0.0
    last: bytes = b""

    @property
    def a_second(self) -> float:
        """Requests a second."""
        return len(self.milliseconds) / self.seconds


@dataclass
class _Connection:
    socket: socket.socket
    received: bytearray = field(default_factory=bytearray)
    started: float = 0.0


def prepared(path: str, body: bytes) -> bytes:
    """The bytes of a POST."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + _END_OF_HEAD + body


def ask(address: str, requests: Sequence[bytes], connections: int = 1) -> Answered:
    """Send each request once; each connection has one request at work at a time. Connections are open before time runs.

    Raises: SystemExit for an answer other than 200, or a connection that the server closes.
    """
    place = urlsplit(address)
    found, waiting = Answered(), iter(requests)
    with selectors.DefaultSelector() as selector:
        opened = [_Connection(socket.create_connection((place.hostname or "", place.port or 80))) for _ in range(connections)]
        for connection in opened:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        start, own = time.perf_counter(), time.thread_time()
        at_work = sum(_send_next(connection, waiting) for connection in opened)
        while at_work:
            for key, _ in selector.select():
                body = _receive(key.data)
                if body is not None:
                    found.milliseconds.append(1e3 * (time.perf_counter() - key.data.started))
                    found.last = body
                    at_work -= not _send_next(key.data, waiting)
        found.seconds, found.client_seconds = time.perf_counter() - start, time.thread_time() - own
        for connection in opened:
            connection.socket.close()
    return found


def _send_next(connection: _Connection, waiting: Iterator[bytes]) -> bool:
    """Send the next request; False if there is none."""
    request = next(waiting, None)
    if request is None:
        return False
    connection.started = time.perf_counter()
    connection.socket.sendall(request)
    return True


def _receive(connection: _Connection) -> bytes | None:
    """Read what has arrived; the body once all of it is there."""
    part = connection.socket.recv(_AT_ONCE)
    if not part:
        raise SystemExit("the server closed a connection")
    received = connection.received
    received += part
    end = received.find(_END_OF_HEAD, 0, 1 << 16)
    if end < 0:
        return None
    head = bytes(received[:end]).lower()
    length = int(head.partition(b"content-length:")[2].split()[0])
    body_at = end + len(_END_OF_HEAD)
    if len(received) < body_at + length:
        return None
    body = bytes(received[body_at:])
    received.clear()
    if not head.startswith(b"http/1.1 200"):
        raise SystemExit(f"{head.splitlines()[0].decode()}: {body[:300].decode(errors='replace')}")
    return body
