import multiprocessing
import os
import threading

import pytest

from lateint_store import open_store
from lateint_store.disk import environment
from lateint_store.errors import StoreError
from tests.support.stores import build, contents, entries, entry


@pytest.fixture
def path(tmp_path):
    build(tmp_path / "s", 60).close()
    return tmp_path / "s"


def rows_of(store, ids):
    return store.rows(ids).tolist()


def open_and_read(path):
    with open_store(path) as store:
        return rows_of(store, ["doc5", "doc59"])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_read(path, method):
    with open_store(path) as store, multiprocessing.get_context(method).Pool(2) as pool:
        assert rows_of(store, ["doc5"]) == [5]
        assert pool.map(open_and_read, [path] * 4) == [[5, 3]] * 4
        assert rows_of(store, ["doc5"]) == [5]


def in_child(action):
    """Run `action` in a forked child; return its exit status, 0 if it returned True."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if action() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_an_open_store_works_on_both_sides_of_a_fork(path):
    with open_store(path) as store:
        truth = contents(store)
        assert in_child(lambda: contents(store) == truth) == 0
        assert contents(store) == truth


def test_a_child_reads_and_does_not_write_the_store_that_its_parent_writes(path):
    def child():
        with pytest.raises(StoreError, match="before a fork"):
            store.add(entries([99]))
        return rows_of(store, ["doc5"]) == [5]

    with open_store(path, write=True) as store:
        assert in_child(child) == 0
        store.add(entries([100]))
        assert len(store) == 61


def test_the_writers_lock_does_not_live_on_in_a_forked_child(path):
    store = open_store(path, write=True)
    ready, wait = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"x")
        os.read(wait[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    store.close()
    with open_store(path, write=True) as again:
        assert len(again) == 60
    os.write(wait[1], b"x")
    os.waitpid(child, 0)


def test_forks_among_reading_threads_leave_both_sides_intact(path):
    with open_store(path) as store:
        stop, wrong = threading.Event(), []

        def read():
            while not stop.is_set():
                if rows_of(store, ["doc5", "doc13"]) != [5, 6]:
                    wrong.append(1)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        statuses = [in_child(lambda: rows_of(store, ["doc5"]) == [5]) for _ in range(8)]
        stop.set()
        for thread in threads:
            thread.join()
        assert statuses == [0] * 8 and not wrong


def test_one_file_is_opened_once_a_process_and_closed_by_its_last_user(path):
    before = len(environment._registry)
    first, second = open_store(path), open_store(path)
    assert len(environment._registry) == before + 1
    first.close()
    assert rows_of(second, ["doc5"]) == [5]
    second.close()
    assert len(environment._registry) == before


def test_a_reader_and_a_writer_share_a_process(path):
    with open_store(path) as reader:
        with open_store(path, write=True) as writer:
            writer.add(entries([100]))
            assert len(reader) == 61
            assert reader.get(["doc100"])[0]["token_ids"].tolist() == entry(100).arrays["token_ids"].tolist()
        assert rows_of(reader, ["doc100"]) == [100 % 7]


def test_a_path_through_a_link_is_the_same_store(path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    with open_store(path) as store, open_store(tmp_path / "link") as linked:
        assert contents(store) == contents(linked)
