"""Prefetching on threads: order, errors on both sides, items in flight, and no thread left running."""

import os
import signal
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lateint.errors import StoreFull
from lateint.indexing import build as encode
from lateint.indexing.store import Store, open_store
from lateint.indexing.threads import prefetch
from lateint.model.document import Document
from tests.support import engine
from tests.support.engine import DOCUMENTS, IDS

WINDOW = 8


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("lateint-")]


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1, "lateint-test") as pool:
        yield pool


def failing(items, error):
    yield from items
    raise error


def take(results, found):
    for result in results:
        found.append(result)


def test_results_come_in_order_and_work_is_done_beside_the_caller(pool):
    assert list(prefetch(pool, lambda item: (item, threading.get_ident()), iter([]))) == []
    found = list(prefetch(pool, lambda item: (item, threading.get_ident()), iter(range(9))))
    assert [item for item, _ in found] == list(range(9))
    assert {ident for _, ident in found}.isdisjoint({threading.get_ident()})


def test_two_items_are_in_flight_at_most(pool):
    made, taken = [], []

    def items():
        for item in range(9):
            assert len(made) - len(taken) <= 2
            made.append(item)
            yield item

    for result in prefetch(pool, lambda item: item, items()):
        assert len(made) - len(taken) <= 2
        taken.append(result)
    assert taken == made


@pytest.mark.parametrize("error", [ValueError("no more"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", [0, 1, 3])
def test_an_error_of_the_items_waits_for_those_before_it(pool, at, error):
    found = []
    with pytest.raises(type(error)) as caught:
        take(prefetch(pool, lambda item: item, failing(range(at), error)), found)
    assert found == list(range(at)) and caught.value is error


def test_an_error_of_the_work_ends_everything_and_begins_nothing_more(pool):
    begun, found = [], []

    def work(item):
        begun.append(item)
        return 1 // (2 - item)

    with pytest.raises(ZeroDivisionError):
        take(prefetch(pool, work, failing(range(9), KeyboardInterrupt())), found)
    assert begun == [0, 1, 2] and len(found) == 2


def test_a_failed_commit_surfaces_as_it_is_and_the_next_window_is_not_written(tmp_path, monkeypatch):
    append, calls = Store.append, []

    def full(store, entries, source_end, source_digest):
        calls.append(source_end)
        if source_end == 3 * WINDOW:
            raise StoreFull("no room")
        append(store, entries, source_end=source_end, source_digest=source_digest)

    monkeypatch.setattr(Store, "append", full)
    with pytest.raises(StoreFull, match="no room"):
        engine.store(tmp_path, window=WINDOW)
    assert calls == [8, 16, 24]
    monkeypatch.undo()
    with open_store(tmp_path / "store", write=True) as store:  # the lock was released
        assert list(store.ids()) == IDS[:16] and store.verify().ok


@pytest.fixture
def interruptible():
    """Handle SIGINT by default; a process started in the background may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_signal_while_layers_run_keeps_every_window_before(tmp_path, monkeypatch):
    run, windows = encode.encode_tokens, []

    def interrupted(model, tokens):
        windows.append(tokens)
        if len(windows) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return run(model, tokens)

    monkeypatch.setattr(encode, "encode_tokens", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.store(tmp_path, window=WINDOW)
    monkeypatch.undo()
    with engine.store(tmp_path, window=WINDOW) as store, engine.store(tmp_path / "whole", window=WINDOW) as whole:
        assert store.info()["encoded_by_last_run"] == len(IDS) - 16
        assert store.content_digest() == whole.content_digest()


def test_documents_and_progress_stay_in_the_callers_thread(tmp_path):
    rows = [(document.id, document.text) for document in DOCUMENTS]
    with sqlite3.connect(":memory:") as database:  # sqlite rejects calls from other threads
        database.execute("create table documents (id, text)")
        database.executemany("insert into documents values (?, ?)", rows)
        found = database.execute("select id, text from documents order by rowid")
        told = []
        with engine.store(
            tmp_path,
            documents=(Document(*row) for row in found),
            window=WINDOW,
            progress=lambda _: told.append(threading.get_ident()),
        ) as store:
            assert list(store.ids()) == IDS
    database.close()
    assert told == [threading.get_ident()] * 5
