"""The folder of a text cache: what it refuses, what damage costs, and many processes in it."""

import json
import os
import resource
import threading
from contextlib import contextmanager

import pytest

from lateint.serving.cache_folder import LEAST_BYTES
from lateint.serving.text_cache import TextCache
from lateint_store.disk.files import allocated_bytes
from tests.support import engine
from tests.support.caching import TEXTS, ends, forked, holds, kill_often, opened, put

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def filled(folder):
    """A closed cache with all texts but those that are too many."""
    with opened(folder) as cache:
        put(cache, TEXTS[:20])
    return folder


def is_off(cache, reason):
    """True if the cache says why it is off, finds nothing and keeps nothing, and raises nothing."""
    put(cache, ["bread"])
    off = cache.get(["bread", TEXTS[0]]) == [None, None] and cache.statistics()["entries"] == 0
    cache.close()
    return off and reason in cache.problem


# Folders that cannot be a cache


def test_a_folder_with_something_else_is_left_alone(folder):
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with opened(folder) as cache:
        assert is_off(cache, "'thesis.txt'")
    assert [entry.name for entry in folder.iterdir()] == ["thesis.txt"]


def test_a_cache_of_another_format_is_left_alone(filled):
    engine.edit(filled / "cache.json", format_version=2)
    before = (filled / "entries" / "data.mdb").read_bytes()
    with opened(filled) as cache:
        assert is_off(cache, "version 1")
    (filled / "cache.json").unlink()
    with opened(filled) as cache:
        assert is_off(cache, "is not a cache (it contains 'entries')")
    assert (filled / "entries" / "data.mdb").read_bytes() == before


@pytest.mark.parametrize("place", ["/proc/cache", "/dev/null", "/dev/null/cache"])
def test_a_folder_that_cannot_be_written_turns_the_cache_off(place):
    with opened(place) as cache:
        assert is_off(cache, place)


def test_a_file_as_a_link_to_somewhere_else_turns_the_cache_off(filled, tmp_path):
    (filled / "entries").rename(tmp_path / "elsewhere")
    (filled / "entries").symlink_to(tmp_path / "elsewhere")
    with opened(filled) as cache:
        assert is_off(cache, "is a link")


@contextmanager
def full_disk(size):
    """No file of this process grows beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_turns_the_cache_off_and_loses_nothing(folder):
    with opened(folder) as cache:
        put(cache, TEXTS[:4])
        with full_disk(MIB):
            put(cache, TEXTS)
        assert is_off(cache, "free some space")
    with opened(folder) as cache:
        assert holds(cache, TEXTS[:4]) == [True] * 4
    with full_disk(1000), opened(folder.with_name("new")) as cache:
        assert is_off(cache, "no space")


# The bound of a folder


def test_a_folder_in_use_keeps_its_bound(filled):
    with opened(filled), opened(filled, max_bytes=2 * LEAST_BYTES) as other:
        assert is_off(other, "give the same bound")
    with opened(filled, max_bytes=2 * LEAST_BYTES) as cache, opened(filled, max_bytes=2 * LEAST_BYTES) as other:
        assert all(holds(cache, TEXTS[:20])) and all(holds(other, TEXTS[:20]))


def test_a_smaller_bound_empties_a_larger_file(folder):
    with opened(folder, max_bytes=3 * LEAST_BYTES) as cache:
        put(cache, [f"text {number}" for number in range(80)], 150)
        assert allocated_bytes(folder) > LEAST_BYTES
    with opened(folder) as cache:
        assert allocated_bytes(folder) < MIB and cache.statistics()["entries"] == 0
        put(cache, TEXTS[:2])
        assert holds(cache, TEXTS[:2]) == [True, True]


# Damage


def test_a_damaged_entry_is_a_miss_and_can_be_put_again(filled):
    data = filled / "entries" / "data.mdb"
    with opened(filled) as cache:
        payload = cache.get(TEXTS[3:4])[0]["states"].tobytes()
    engine.flip(data, data.read_bytes().index(payload) + 100)
    with opened(filled) as cache:
        assert holds(cache, TEXTS[:20]) == [True] * 3 + [False] + [True] * 16
        assert cache.statistics()["entries"] == 20
        put(cache, TEXTS[3:4])
        assert all(holds(cache, TEXTS[:20])) and cache.statistics()["entries"] == 20


@pytest.mark.parametrize("at", [0, 40, 60, 90])
def test_a_damaged_header_is_a_miss_and_is_removed_by_the_next_put(filled, at):
    """At these offsets in a record's block are its magic, its table, its record header and its key."""
    data = filled / "entries" / "data.mdb"
    with opened(filled) as cache:
        payload = cache.get(TEXTS[3:4])[0]["states"].tobytes()
    bytes_before = data.read_bytes()
    engine.flip(data, bytes_before.rindex(b"LTB1", 0, bytes_before.index(payload)) + at)
    with opened(filled) as cache:
        assert holds(cache, TEXTS[:20]) == [True] * 3 + [False] + [True] * 16
        put(cache, ["bread"])
        assert cache.statistics()["entries"] == 20 and cache.problem is None


def test_an_index_entry_without_a_record_is_a_miss(filled):
    with opened(filled) as cache:
        with cache._folder.writing(cache._binding.format) as snapshot:
            cursor = snapshot.transaction.cursor(snapshot.environment.databases["blocks"])
            assert cursor.first() and cursor.delete()
        assert holds(cache, TEXTS[:20]) == [False] + [True] * 19
        put(cache, TEXTS[:1])
        assert all(holds(cache, TEXTS[:20])) and cache.statistics()["entries"] == 20


@pytest.mark.parametrize("damage", ["cut", "meta", "empty", "missing"])
def test_a_file_that_lmdb_cannot_read_starts_empty(filled, damage):
    data = filled / "entries" / "data.mdb"
    if damage == "missing":
        data.unlink()
    elif damage == "meta":
        engine.flip(data, 16)
    else:
        engine.cut(data, 0 if damage == "empty" else data.stat().st_size // 2)
    with opened(filled) as cache:
        assert cache.problem is None and holds(cache, TEXTS[:20]) == [False] * 20
        put(cache, TEXTS[:20])
        assert all(holds(cache, TEXTS[:20]))


# Many processes and threads


def test_forked_workers_share_a_cache_that_their_parent_opened(folder):
    with opened(folder) as cache:
        put(cache, TEXTS[:1])

        def work(number):
            assert cache.statistics()["hits"] == 0 and holds(cache, TEXTS[:1]) == [True]
            put(cache, TEXTS[1 + number * 5 : 6 + number * 5])
            assert all(holds(cache, TEXTS[1 + number * 5 : 6 + number * 5])) and cache.problem is None

        assert [ends(child) for child in [forked(lambda number=number: work(number)) for number in range(3)]] == [0, 0, 0]
        assert all(holds(cache, TEXTS[:16])) and cache.problem is None


def test_workers_that_start_at_once_share_a_new_folder(folder):
    def start():
        with opened(folder) as cache:
            put(cache, TEXTS[:2])
            assert cache.problem is None and holds(cache, TEXTS[:2]) == [True, True]

    assert [ends(child) for child in [forked(start) for _ in range(6)]] == [0] * 6


def test_threads_read_while_others_write(folder):
    with opened(folder) as cache:
        wrong = []

        def work(number):
            try:
                for start in range(0, 100, 20):
                    part = TEXTS[(start + number) % 100 :][:20]
                    put(cache, part[::2])
                    holds(cache, part)
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert not wrong and cache.problem is None
        assert allocated_bytes(folder) <= LEAST_BYTES


def test_pages_that_a_stopped_reader_holds_cost_entries_and_nothing_else(folder):
    """No page that is freed while it reads can be used again."""
    ready, go = os.pipe(), os.pipe()

    def fill():
        with opened(folder) as own:
            os.write(ready[1], b"!")
            os.read(go[0], 1)
            for number in range(60):
                put(own, [f"more {number}"], 150)
            assert own.problem is None and own.statistics()["refused"] > 0

    with opened(folder) as cache:
        put(cache, TEXTS[:30])
        child = forked(fill)
        os.read(ready[0], 1)
        with cache._folder.reading(cache._binding.format) as snapshot:
            os.write(go[1], b"!")
            assert ends(child) == 0
            assert snapshot.transaction.stat(snapshot.environment.databases["blocks"])["entries"] == 30
        put(cache, ["bread"])
        assert holds(cache, ["bread"]) == [True] and allocated_bytes(folder) <= LEAST_BYTES


def test_killed_users_never_leave_a_wrong_state(folder):
    kills, wrong, found, most = kill_often(folder, 8)
    assert (kills, wrong) == (8, 0) and found > 20 and most <= LEAST_BYTES


def test_the_description_says_what_the_folder_is(filled):
    assert json.loads((filled / "cache.json").read_text()) == {
        "format": "lateint text cache", "format_version": 1, "max_bytes": LEAST_BYTES,
    }  # fmt: skip
    assert isinstance(TextCache.open(filled, engine.model("colbert"), LEAST_BYTES).close(), type(None))
