"""Several threads of the writing process change one store: no id twice, nothing acknowledged lost, nothing deleted back."""

import random
import threading
from collections import Counter

import pytest

from lateint_store import open_store
from lateint_store.errors import DuplicateDocument, MissingDocument, SealedStore, StoreError
from tests.support.stores import build, contents, entry


def together(*actions):
    """Run actions at the same time, each in a thread; return what each raised."""
    start, raised = threading.Barrier(len(actions)), [None] * len(actions)

    def run(index, action):
        start.wait()
        try:
            action()
        except Exception as error:
            raised[index] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return raised


def test_one_of_two_threads_adds_an_id_and_the_other_is_refused(tmp_path):
    with build(tmp_path / "s", 32) as store:
        for number in range(100, 120):
            errors = together(*[lambda: store.add([entry(number)])] * 2)
            assert Counter(map(type, errors)) == {type(None): 1, DuplicateDocument: 1}
        assert Counter(store.ids()).most_common(1)[0][1] == 1 and len(store) == 52 and store.verify().ok


def test_one_of_two_threads_deletes_an_id_and_the_other_misses_it(tmp_path):
    with build(tmp_path / "s", 32) as store:
        for number in range(20):
            errors = together(*[lambda: store.delete([f"doc{number}"])] * 2)
            assert Counter(map(type, errors)) == {type(None): 1, MissingDocument: 1}
        assert len(store) == 12 and store.verify().ok


@pytest.mark.parametrize("rewrite", ["compact", "seal"])
def test_nothing_acknowledged_is_lost_and_nothing_deleted_returns_in_a_rewrite(tmp_path, rewrite):
    with build(tmp_path / "s", 300, documents_per_shard=128) as store:
        added, gone = [], []

        def change():
            for number in range(25):
                store.add([entry(1000 + number)])
                added.append(f"doc{1000 + number}")
                store.delete([f"doc{number}"])
                gone.append(f"doc{number}")

        changing, rewriting = together(change, getattr(store, rewrite))
        assert rewriting is None and (changing is None if rewrite == "compact" else type(changing) in (type(None), SealedStore))
        held = set(store.ids())
        assert held >= set(added) and not held & set(gone)
        assert len(store) == 300 + len(added) - len(gone) and store.verify().ok


@pytest.mark.parametrize("seed", range(2))
def test_random_changes_by_threads_end_as_in_memory(tmp_path, seed):
    """Each thread owns ids of its own, so that the outcome of each of its calls is known."""
    with build(tmp_path / "s", 64, documents_per_shard=64) as store:
        expected = dict.fromkeys(f"doc{number}" for number in range(64))

        def work(thread):
            chance, mine = random.Random(100 * seed + thread), set()
            for step in range(15):
                number, verb = 1000 * (thread + 1) + step % 12, chance.choice(["add", "add", "delete", "compact"])
                if verb == "compact" and step % 5 == 0:
                    store.compact()
                elif verb == "delete" and mine:
                    store.delete([gone := mine.pop()])
                    del expected[gone]
                elif (doc_id := f"doc{number}") not in mine:
                    store.add([entry(number)])
                    mine.add(doc_id)
                    expected[doc_id] = None

        assert together(*[lambda thread=thread: work(thread) for thread in range(3)]) == [None] * 3
        assert sorted(store.ids()) == sorted(expected) and store.verify().ok
        found = contents(store)
    assert all(found[name]["token_ids"] == entry(int(name[3:])).arrays["token_ids"].tobytes() for name in found)


def test_a_close_waits_for_the_change_that_has_begun(tmp_path):
    store = build(tmp_path / "s", 64)
    done = []

    def add():
        try:
            for number in range(100, 140):
                store.add([entry(number)])
                done.append(number)
        except StoreError as error:
            assert "is closed" in str(error)

    assert together(add, store.close) == [None, None]
    with open_store(tmp_path / "s", write=True) as again:
        assert len(again) == 64 + len(done) and again.verify().ok
