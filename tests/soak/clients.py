"""Clients that load the service until they are told to stop: real ones, hostile ones, and some that leave."""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from lateint.testing.tiny import WORDS
from tests.support import hostile
from tests.support.engine import IDS, QUERIES

GRACE_SECONDS = 5.0  # after a kill, in which connections may break
BROKEN = (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
REQUESTS_OF_A_CONNECTION = 50
SHOWN = 20


@dataclass
class Seen:
    """What clients got. `broken`: connections that ended without an answer, allowed until `breaks_until`."""

    statuses: Counter = field(default_factory=Counter)
    broken: Counter = field(default_factory=Counter)
    faults: list = field(default_factory=list)
    breaks_until: float = 0.0
    stop: bool = False

    @property
    def requests(self):
        """Requests that were answered."""
        return sum(self.statuses.values())

    def fault(self, what):
        """Note what must not happen; of many, the first."""
        if len(self.faults) < SHOWN:
            self.faults.append(what)

    def may_break(self, seconds=GRACE_SECONDS):
        """Allow that connections break from now on."""
        self.breaks_until = time.monotonic() + seconds


def real(rng):
    """A request as users send them: ids, texts of which some came before, or both, in any of the shapes."""
    path = rng.choice([*hostile.FORMS])
    ids = [{"id": doc_id} for doc_id in rng.sample(IDS, rng.randrange(1, len(IDS)))]
    count = rng.choice([0, 0, 3])
    texts = [
        " ".join(rng.choices(WORDS, k=rng.randrange(1, 12))) if rng.random() < 0.2 else rng.choice(QUERIES)
        for _ in range(count)
    ]
    body = {"query": rng.choice(QUERIES), "documents": ids + texts, "top_n": rng.choice([None, 5])}
    if rng.random() < 0.2:
        body["budget_ms"] = 50
    return path, json.dumps(body).encode()


def wrong(rng):
    """A request that is usually wrong."""
    return rng.choice([*hostile.FORMS]), hostile.request(rng)


async def ask(address, make, rng, seen, most=None):
    """Send requests one after the other, and check every answer. `most`: how many, None for no end.

    A new connection now and then, which any worker may accept: otherwise one of them gets most of the requests.
    """
    while not seen.stop and most != 0:
        count = REQUESTS_OF_A_CONNECTION if most is None else min(most, REQUESTS_OF_A_CONNECTION)
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            for _ in range(count):
                if seen.stop:
                    return
                await _ask_once(client, *make(rng), seen)
        most = None if most is None else most - count


async def _ask_once(client, path, data, seen):
    """Send a request until it is answered, and check the answer."""
    while not seen.stop:
        try:
            response = await client.post(path, content=data)
        except httpx.TransportError as error:
            seen.broken[type(error).__name__] += 1
            if time.monotonic() > seen.breaks_until or not isinstance(error, BROKEN):
                seen.fault(f"{type(error).__name__} for {path} {data[:300]!r}")
            await asyncio.sleep(0.05)
            continue
        seen.statuses[response.status_code] += 1
        try:
            hostile.check(path, response.status_code, response.content)
        except ValueError as error:
            seen.fault(f"{error} for {path} {data[:300]!r}")
        return


async def send_heads(address, rng, seen):
    """Send requests with wrong heads over connections of their own; each gets a status below 500, or an end."""
    place = urlsplit(address)
    while not seen.stop:
        data = hostile.head(rng)
        try:
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(data)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), 60)
            writer.close()
        except OSError:
            seen.broken["head"] += 1
            await asyncio.sleep(0.05)
            continue
        except TimeoutError:
            seen.fault(f"no answer and no end for the head {data[:300]!r}")
            continue
        status = answer[9:12].decode(errors="replace") if answer else "closed"
        seen.statuses["closed" if status == "closed" else int(status)] += 1
        if answer and not (answer.startswith(b"HTTP/1.1 ") and status < "500"):
            seen.fault(f"{answer[:300]!r} for the head {data[:300]!r}")
        await asyncio.sleep(0.01)


async def leave(address, rng, seen):
    """Send a whole request or a part of it, and close the connection without reading the answer."""
    place = urlsplit(address)
    while not seen.stop:
        path, body = real(rng)
        data = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
        try:
            _, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(data[: rng.randrange(1, len(data) + 1)] if rng.random() < 0.5 else data)
            await asyncio.sleep(rng.random() * 0.05)
            writer.transport.abort()
        except OSError:
            seen.broken["leave"] += 1
        await asyncio.sleep(0.02)
