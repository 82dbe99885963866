"""The service in processes of its own: signals under load, workers that are killed, and what clients see."""

import asyncio
import os
import signal
import threading
import time
from types import SimpleNamespace

import httpx
import pytest

from lateint.indexing.build import build_store
from lateint.loading.load import load_model
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
        running.append(process)
        address = lines.recv().rpartition(" ")[2]
        for _ in range(100):
            try:
                httpx.get(f"{address}/ready")
                break
            except httpx.ConnectError:
                time.sleep(0.02)
        return SimpleNamespace(process=process, address=address)

    yield start
    for process in running:
        process.kill()
        process.join()


class Load:
    """Clients that ask one after the other until they are told to stop; what they got is in `answers` and `errors`."""

    def __init__(self, address, clients=4):
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
    server = started(drain_ms=500)
    with Load(server.address) as load:
        load.wait_for(20)
        os.kill(server.process.pid, signal.SIGTERM)
        time.sleep(0.05)
        assert httpx.get(f"{server.address}/ready").status_code == 503
        load.wait_for(2)  # requests are still answered
        server.process.join(20)
    assert server.process.exitcode == 0
    assert {response.status_code for response in load.answers} == {200}
    assert {type(error) for error in load.errors} <= {httpx.ConnectError, httpx.ReadError}, "refused, or closed unread"
    assert all(results(response) == results(load.answers[0]) for response in load.answers)


def test_an_interruption_ends_with_130(started):
    server = started(drain_ms=0)
    os.kill(server.process.pid, signal.SIGINT)
    server.process.join(20)
    assert server.process.exitcode == 130


def test_a_head_that_never_ends_is_given_up(store, monkeypatch):
    from lateint.serving import server
    from lateint.serving.engine import load_engine
    from lateint.serving.options import ServeOptions
    from lateint.serving.run import bound_socket

    async def main():
        options = ServeOptions(store=str(store), drain_ms=0)
        listener = bound_socket("127.0.0.1", 0)
        serving = asyncio.create_task(server._serve(options, load_engine(options), None, listener))
        await asyncio.sleep(0.1)
        closed = []
        for sent in (b"", b"GET /ready HTTP/1.1\r\nhost:", b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n"):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(sent)
            begun = await asyncio.wait_for(reader.read(8), 2) if sent.endswith(b"\r\n\r\n") else b""
            try:
                closed.append(await asyncio.wait_for(reader.read(10_000), 0.5) == b"" and not begun)
            except TimeoutError:
                closed.append(False)
            if begun:  # the connection is kept, until the next head is late
                await asyncio.sleep(0.3)
                writer.write(b"GET /ready HTTP/1.1\r\n")
                await asyncio.sleep(0.3)
                closed.append(await asyncio.wait_for(reader.read(10_000), 2) == b"")
            writer.close()
        os.kill(os.getpid(), signal.SIGTERM)
        return closed, await asyncio.wait_for(serving, 20)

    monkeypatch.setattr(server, "_HEAD_SECONDS", 0.2)
    assert asyncio.run(main()) == ([True, True, False, True], 0)


def test_an_interruption_of_all_processes_ends_with_130(started):
    server = started(workers=2, drain_ms=300)
    with Load(server.address, clients=2) as load:
        load.wait_for(4)
        for pid in (*children(server.process.pid), server.process.pid):  # as a terminal does
            os.kill(pid, signal.SIGINT)
        server.process.join(20)
    assert server.process.exitcode == 130
    assert {response.status_code for response in load.answers} == {200}
    assert {type(error) for error in load.errors} <= {httpx.ConnectError, httpx.ReadError}


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def test_a_killed_worker_is_replaced_and_the_others_go_on(started):
    server = started(workers=2)
    with Load(server.address) as load:
        load.wait_for(10)
        before = children(server.process.pid)
        os.kill(before[0], signal.SIGKILL)
        load.wait_for(10)
        end = time.monotonic() + 20
        while len(now := set(children(server.process.pid)) - {before[0]}) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        assert len(before) == len(now) == 2
        load.wait_for(10)
        metrics = httpx.get(f"{server.address}/metrics").text
    counted = next(line for line in metrics.splitlines() if 'requests_total{shape="cohere_v2",status="200"}' in line)
    assert float(counted.split()[-1]) >= len(load.answers) - 4, "the numbers are those of all workers, the killed one included"
    os.kill(server.process.pid, signal.SIGTERM)
    server.process.join(20)
    assert server.process.exitcode == 0
    assert {response.status_code for response in load.answers} == {200} and len(load.errors) <= 4
    assert all(results(response) == results(load.answers[0]) for response in load.answers)


def test_a_slow_client_blocks_nobody(started):
    import socket

    server = started()
    host, port = server.address.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(50)]
    for connection in slow:
        connection.sendall(b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
    assert httpx.post(f"{server.address}/v2/rerank", json=BODY).status_code == 200
    huge = socket.create_connection((host, int(port)))
    huge.sendall(b"GET /ready HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 100_000)
    assert huge.recv(100).startswith(b"HTTP/1.1 400"), "a header over the limit"
    for connection in (*slow, huge):
        connection.close()
    assert httpx.get(f"{server.address}/ready").status_code == 200
