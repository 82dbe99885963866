"""The service in processes of its own: signals under load, workers that are killed, and what clients see."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from lateint.indexing.build import build_store
from lateint.loading.load import load_model
from lateint.serving import protocol, server
from lateint.serving.engine import load_engine
from lateint.serving.options import ServeOptions
from lateint.serving.run import bound_socket
from tests.support import engine, processes
from tests.support.retrieving import RICH
from tests.support.serving_process import serve_in_process

BODY = {"query": engine.QUERY, "documents": [{"id": doc_id} for doc_id in engine.IDS], "raw_scores": True}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store that records a model that any process can load."""
    folder = tmp_path_factory.mktemp("served")
    engine.fresh_model(RICH).save_pretrained(folder / "model")
    with build_store(load_model(folder / "model"), engine.DOCUMENTS, folder / "store"):
        pass
    return folder / "store"


@pytest.fixture
def started(store):
    """Start a service; gives its process and its address."""
    running = []

    def start(**options):
        lines, send = processes.pipe()
        process = processes.fork(serve_in_process, {"store": str(store), "port": 0, "drain_ms": 200, **options}, send)
        send.close()
        running.append((process, lines))  # open until the end: the service says more than its address
        return SimpleNamespace(process=process, address=lines.recv().rpartition(" ")[2])

    yield start
    for process, _ in running:
        process.kill()
        process.join()


class Load:
    """Clients that ask one after the other until they are told to stop; what they got is in `answers` and `errors`."""

    def __init__(self, address, clients=2):
        self.address, self.answers, self.errors, self._stop = address, [], [], False
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def _ask(self):
        with httpx.Client(timeout=20) as client:
            while not self._stop:
                try:
                    self.answers.append(client.post(f"{self.address}/v2/rerank", json=BODY))
                except httpx.TransportError as error:
                    self.errors.append(error)
                    time.sleep(0.01)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop = True
        for thread in self._threads:
            thread.join()

    def wait_for(self, count):
        """Wait until this many more requests are answered."""
        goal, end = len(self.answers) + count, time.monotonic() + 20
        while len(self.answers) < goal and time.monotonic() < end:
            time.sleep(0.01)
        assert len(self.answers) >= goal


def results(response):
    return response.json()["results"]


def test_sigterm_under_load_loses_no_request(started):
    service = started(drain_ms=1000)
    with Load(service.address) as load:
        load.wait_for(6)
        os.kill(service.process.pid, signal.SIGTERM)
        time.sleep(0.05)
        assert httpx.get(f"{service.address}/ready").status_code == 503
        load.wait_for(2)  # requests are still answered
        service.process.join(20)
    assert service.process.exitcode == 0
    assert {response.status_code for response in load.answers} == {200}
    assert {type(error) for error in load.errors} <= {httpx.ConnectError, httpx.ReadError}, "refused, or closed unread"
    assert all(results(response) == results(load.answers[0]) for response in load.answers)


def here(store, use, stop):
    """Serve in this process, on a real socket, until a signal; returns what `use(host, port)` returns, and the exit code."""

    async def main():
        options = ServeOptions(store=str(store), drain_ms=0)
        with bound_socket("127.0.0.1", 0) as listener:
            serving = asyncio.create_task(server._serve(options, load_engine(options), None, listener))
            await asyncio.sleep(0.1)
            found = await use(*listener.getsockname())
            os.kill(os.getpid(), stop)
            return found, await asyncio.wait_for(serving, 20)

    return asyncio.run(main())


async def closes(host, port, *sent):
    """True if the server closes the connection; the answers to all but the last part of what is sent are read before."""
    reader, writer = await asyncio.open_connection(host, port)
    for part in sent[:-1]:
        writer.write(part)
        await reader.readuntil(b"}")
    writer.write(sent[-1])
    try:
        return await asyncio.wait_for(reader.read(), 0.5) == b""
    except TimeoutError:
        return False
    finally:
        writer.close()


async def trickle(host, port):
    """True if a connection ends whose client goes on to send the body of a request that is answered already."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n{")
    assert await reader.readuntil(b"}") and not reader.at_eof()
    try:
        for _ in range(100):
            writer.write(b"x")
            await asyncio.sleep(0.02)
            if reader.at_eof() or writer.transport.is_closing():
                return True
        return False
    finally:
        writer.close()


async def takes_nothing(host, port):
    """True if a connection ends whose client does not go on to read its large answer."""
    body = json.dumps({"query": engine.QUERY, "documents": [{"id": engine.IDS[0], "text": "a" * 950_000}] * 8}).encode()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, (host, port))
        head = f"POST /rerank HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        await loop.sock_sendall(client, head + body)
        found = len(await loop.sock_recv(client, 1000))
        await asyncio.sleep(0.4)
        while part := await loop.sock_recv(client, 1 << 20):
            found += len(part)
    return found < len(body)


def test_clients_that_owe_a_head_a_body_or_the_reading_of_an_answer_are_given_up(store, monkeypatch):
    async def use(host, port):
        whole, begun = b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /ready HTTP/1.1\r\nhost:"
        cases = ((b"",), (begun,), (whole, begun), (whole, b""))
        ended = await asyncio.gather(*(closes(host, port, *case) for case in cases), trickle(host, port))
        return [*ended, await takes_nothing(host, port)]

    monkeypatch.setattr(protocol, "_SEND_SECONDS", 0.1)
    monkeypatch.setattr(protocol, "_TAKE_SECONDS", 0.1)
    heads = [True, True, True, False]  # one that waits between requests is kept
    assert here(store, use, signal.SIGTERM) == ([*heads, True, True], 0)


def test_slow_clients_and_huge_heads_block_nobody_and_fill_no_log(store, capsys):
    async def use(host, port):
        slow = [await asyncio.open_connection(host, port) for _ in range(50)]
        for _, writer in slow:
            writer.write(b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
            answered = await client.post("/v2/rerank", json=BODY)
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /ready HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 100_000)
        refused = await reader.read(12)
        for _, connection in (*slow, (reader, writer)):
            connection.close()
        return answered.status_code, refused

    assert here(store, use, signal.SIGINT) == ((200, b"HTTP/1.1 400"), 130)
    assert capsys.readouterr().err == "", "anybody who can connect could write lines without end"


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def connections(pid):
    """How many connections a process has accepted and not closed."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    open_now = {f"socket:[{row[9]}]" for row in rows if row[3] == "01"}
    return sum(os.readlink(file) in open_now for file in Path(f"/proc/{pid}/fd").iterdir())


def test_a_killed_worker_costs_the_requests_that_it_held_and_is_replaced(started):
    service = started(workers=2)
    with Load(service.address, 4) as load:
        load.wait_for(8)
        before = children(service.process.pid)
        killed = max(before, key=connections)
        held = connections(killed)
        os.kill(killed, signal.SIGKILL)
        end = time.monotonic() + 20
        while len(now := set(children(service.process.pid)) - {killed}) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        assert len(before) == len(now) == 2
        load.wait_for(8)  # the clients that ask again too
        assert held >= 1 and len(load.errors) <= held, "no request of another worker, and none that had not been accepted"
        assert {type(error) for error in load.errors} <= {httpx.ReadError, httpx.RemoteProtocolError}
        answered, metrics = len(load.answers), httpx.get(f"{service.address}/metrics").text
        for pid in (*now, service.process.pid):  # as a terminal interrupts all processes
            os.kill(pid, signal.SIGINT)
        service.process.join(20)
    counted = next(line for line in metrics.splitlines() if 'requests_total{shape="cohere_v2",status="200"}' in line)
    assert float(counted.split()[-1]) >= answered - 8, "the numbers are those of all workers, the killed one included"
    assert service.process.exitcode == 130
    assert {response.status_code for response in load.answers} == {200}
    assert all(results(response) == results(load.answers[0]) for response in load.answers)
