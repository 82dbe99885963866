import fcntl
import gc
import json
import multiprocessing
import os
import signal
import threading

import pytest

from lateint_store import open_store
from lateint_store.disk import environment, locking
from lateint_store.disk.activity import active
from lateint_store.disk.location import Location
from lateint_store.disk.locking import WriterLock
from lateint_store.errors import StoreError
from lateint_store.shards.snapshot import Snapshot
from tests.support.stores import build, contents, entries, entry, run_child


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


def test_a_forked_child_takes_over_which_index_its_parent_has_checked(path, monkeypatch):
    with open_store(path) as store:
        assert "gone" not in store
        scans, entries_of = [], Snapshot.entries
        monkeypatch.setattr(Snapshot, "entries", lambda self, name: scans.append(name) or entries_of(self, name))
        assert in_child(lambda: "gone" not in store and not scans) == 0

        def after_a_commit():
            with open_store(path, write=True) as writer:
                writer.delete(["doc7"])
                scans.clear()
            return "gone" not in store and "ids" in scans

        assert in_child(after_a_commit) == 0


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


def forked_inside_a_read(store, in_child):
    """Fork inside this thread's own transaction; return the child's exit status and what the parent read."""
    with store.view() as view:
        child = os.fork()
        if child == 0:
            in_child(view)
        signal.alarm(20)  # a hang ends the test process
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        signal.alarm(0)
        return status, view.fetch(["doc5"]).rows.tolist()


def test_a_fork_inside_ones_own_read_returns_on_both_sides(path):
    with open_store(path) as store:
        assert forked_inside_a_read(store, lambda view: os._exit(7)) == (7, [5])
        assert rows_of(store, ["doc5"]) == [5]


def test_a_child_that_was_forked_inside_a_read_leaves_the_parents_snapshot_alone(path):
    """If the child ended the transaction, the parent's reader slot would be free, and a writer would reuse its pages."""

    def in_child(view):
        try:
            with store.view():
                os._exit(1)
        except StoreError as error:
            os._exit(7 if "already open in this process" in str(error) else 2)

    with open_store(path, write=True) as store:
        slots = store._shards._open[0][0].env.readers
        with store.view() as view:
            before = slots()
            assert forked_inside_a_read(store, in_child)[0] == 7
            child = os.fork()
            if child == 0:  # leaves the block of its parent's read
                try:
                    raise SystemExit
                finally:
                    store.close()
                    gc.collect()
                    os._exit(0)
            os.waitpid(child, 0)
            assert slots() == before and view.fetch(["doc5"]).rows.tolist() == [5]


def test_a_signal_handler_may_fork_while_its_thread_reads(path):
    forks = []

    def handler(*_):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        forks.append(child)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with open_store(path) as store:
            ids = [f"doc{number}" for number in range(60)] * 20
            stop = threading.Event()

            def poke():
                sent = 0
                while not stop.wait(0.002):
                    if len(forks) == sent:  # one at a time: handlers interrupt each other
                        os.kill(os.getpid(), signal.SIGUSR1)
                        sent += 1

            poking = threading.Thread(target=poke)
            poking.start()
            signal.alarm(20)
            try:
                while len(forks) < 10:
                    assert rows_of(store, ids)[5] == 5
            finally:
                stop.set()
                poking.join()
                signal.alarm(0)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_store_opened_for_writing_and_forgotten_gives_its_lock_back(path):
    before = len(environment._registry)
    open_store(path, write=True).add(entries([100]))
    gc.collect()
    with open_store(path, write=True) as again:
        assert len(again) == 61
        again.add(entries([101]))
    assert len(environment._registry) == before


def test_a_lock_that_outlives_its_module_says_nothing_when_the_interpreter_ends(path, monkeypatch):
    lock = WriterLock(path)
    with monkeypatch.context() as ending:
        ending.setattr(locking, "_held", None)  # what the interpreter does to names of modules
        lock.__del__(lambda: True)
        with pytest.raises(TypeError):
            lock.__del__(lambda: False)


def test_a_scan_keeps_the_store_that_it_reads(path):
    assert sum(len(page) for page in open_store(path).scan()) == 60


def test_a_view_and_a_change_in_one_thread_exclude_each_other(path):
    with open_store(path) as reader, open_store(path, write=True) as store:
        with store.view() as view:
            for change in (lambda: store.add(entries([100])), lambda: store.delete(["doc1"]), store.compact, store.seal):
                with pytest.raises(StoreError, match="inside a view"):
                    change()
            assert view.fetch(["doc1"]).rows.tolist() == rows_of(reader, ["doc1"]) == [1]
        store.delete(["doc1"])
    with open_store(path) as reader, reader.view(), pytest.raises(StoreError, match="outside of a read"):
        open_store(path, write=True)


def test_pages_of_a_killed_reader_come_back_while_the_writer_stays_open(tmp_path):
    """Without that, every change takes new pages for ever: here about 100 kB a change."""
    with build(tmp_path / "s", 300) as store:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                with open_store(tmp_path / "s").view():
                    os.write(write, b"x")
                    signal.pause()
            finally:
                os._exit(1)
        os.read(read, 1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        size = (tmp_path / "s/shard-0000/data.mdb").stat().st_size
        for number in range(40):
            store.add([entry(1000 + number)])
            store.delete([f"doc{1000 + number}"])
        assert (tmp_path / "s/shard-0000/data.mdb").stat().st_size < 2 * size


def map_size(store):
    return store._shards._open[0][0].env.info()["map_size"]


def test_a_reader_maps_the_file_and_some_room(path):
    size = (path / "shard-0000/data.mdb").stat().st_size
    with open_store(path) as store:
        assert map_size(store) == size + environment._ROOM
        with open_store(path, write=True):
            assert map_size(store) == store.manifest.map_size == 64 << 30


def test_a_file_that_another_process_makes_larger_is_mapped_again(path, monkeypatch):
    monkeypatch.setattr(environment, "_ROOM", 1 << 12)
    with open_store(path) as store, open_store(path) as other:
        before, wrong, stop = map_size(store), [], threading.Event()

        def read():
            while not stop.is_set():
                wrong.extend(doc for doc in [rows_of(other, ["doc5", "doc13"])] if doc != [5, 6])

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        with store.view() as view:
            run_child("build", path, 400)
            assert view.fetch(["doc5"]).rows.tolist() == [5] and view.fetch(["doc399"], missing="skip").missing
            with pytest.raises(StoreError, match="grew inside a view"):
                len(store)
        stop.set()
        for thread in threads:
            thread.join()
        assert contents(store)["doc399"]["token_ids"] == entry(399).arrays["token_ids"].tobytes()
        assert (path / "shard-0000/data.mdb").stat().st_size > before < map_size(store) and not wrong
        assert store.verify().ok


def test_a_writer_whose_file_outgrew_its_map_says_so(tmp_path):
    """Two processes may write one file; a limit of address space may let one of them map less."""
    small, large = (Location(tmp_path, tmp_path / "entries", 0, size << 20) for size in (1, 64))
    held = environment.create_environment(small)

    def grow():
        other = environment.acquire(large, write=True)
        with active(), environment.begin(other, write=True) as transaction:
            return transaction.put(b"key", bytes(2 << 20), db=other.databases["blocks"])

    assert in_child(grow) == 0
    with pytest.raises(StoreError, match="grew beyond the map of this process"), environment.reading([(held, small)]):
        pass
    environment.release(held)


@pytest.fixture
def namesake(path):
    """Two containers that share a volume, as LMDB sees them: another process holds the lock that stands for this id."""
    read, write = os.pipe()
    mine, child = os.getpid(), os.fork()
    if child == 0:
        try:
            descriptor = os.open(path / "shard-0000/lock.mdb", os.O_RDWR)
            fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, mine)
            os.write(write, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.read(read, 1)
    yield child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_two_processes_with_one_id_read_a_store_that_nobody_writes(path, namesake):
    with open_store(path) as store, store.view() as view:
        assert len(contents(store)) == 60 and view.fetch(["doc5"]).rows.tolist() == [5] and store.verify().ok
        found = json.loads(run_child("write", path).stdout)
        assert found["error"] == "StoreLocked", "a reader without LMDB's locks keeps writers away"
    found = json.loads(run_child("write", path).stdout)
    assert found["documents"] == 60


def test_with_a_writer_the_other_process_with_the_same_id_is_named(path, namesake):
    message = f"another process with process id {os.getpid()}, in another container.*seal the store"
    with open_store(path) as store:
        with pytest.raises(StoreError, match=message):
            open_store(path, write=True)
        assert rows_of(store, ["doc5"]) == [5]
        lock = os.open(path / "writer.lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=message):
            rows_of(store, ["doc5"])
        os.close(lock)
        assert rows_of(store, ["doc5"]) == [5]
