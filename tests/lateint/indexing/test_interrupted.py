"""`add` and `delete` that were interrupted: the same call ends like one that was not, and a finished call is no other."""

import os
import signal
from functools import partial

import pytest

from lateint.errors import DuplicateDocument, InputError, MissingDocument
from lateint.indexing import build
from lateint.indexing.store import open_store
from lateint.model.document import Document
from lateint_store import create_store
from lateint_store.disk import killpoints
from lateint_store.writing import removing, writer
from tests.support import engine
from tests.support.engine import CHUNKS, DOCUMENTS, IDS, LONG

WINDOW = 4
OLD, NEW = DOCUMENTS[:6], DOCUMENTS[6:18]


class Interrupted(BaseException):
    pass


@pytest.fixture
def interrupt(monkeypatch):
    """Interrupt the next change at the n-th pass of a point."""

    def at(point, passes):
        seen = []

        def passing(name):
            seen.append(name)
            if seen.count(point) == passes and name == point:
                raise Interrupted

        monkeypatch.setattr(writer, "point", passing)
        monkeypatch.setattr(removing, "point", passing)

    return at


def made(folder, **options):
    return engine.store(folder, documents=OLD, window=WINDOW, **options)


POINTS = [("append.before_commit", 2), ("append.after_commit", 3)]


def killed(folder, at):
    """Add in a fork that is killed at a point; True if it was."""
    child = os.fork()
    if child == 0:
        killpoints.arm(at)
        open_store(folder, write=True).add(NEW, engine.model())
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.mark.parametrize(("point", "passes"), POINTS)
def test_a_killed_add_continues(tmp_path, point, passes):
    with made(tmp_path / "once") as once:
        once.add(NEW, engine.model())
    made(tmp_path / "cut").close()
    assert killed(tmp_path / "cut" / "store", f"{point}:{passes}")
    kept = WINDOW * (passes - (point == "append.before_commit"))
    with open_store(tmp_path / "cut" / "store", write=True) as store:
        assert len(store) == len(OLD) + kept
        store.start_run()
        store.compact()  # keeps what is known of the interrupted call
        store.add(NEW, engine.model())
        assert store.info()["encoded_by_last_run"] == len(NEW) - kept
        assert store.verify().ok and list(store.ids()) == IDS[:18]
        with open_store(tmp_path / "once" / "store") as once:
            assert store.content_digest() == once.content_digest()
        with pytest.raises(DuplicateDocument, match="already holds"):
            store.add(NEW, engine.model())


def test_an_add_killed_in_a_new_shard_before_its_first_commit_continues(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "create_store", partial(create_store, documents_per_shard=WINDOW))
    made(tmp_path).close()
    assert killed(tmp_path / "store", "append.before_commit:2")
    with open_store(tmp_path / "store", write=True) as store:
        assert len(store) == len(OLD) + WINDOW and store.info()["shards"] == 3
        store.add(NEW, engine.model())
        assert list(store.ids()) == IDS[:18] and store.verify().ok


def cut_add(store, interrupt, monkeypatch):
    interrupt("append.after_commit", 2)
    with pytest.raises(Interrupted):
        store.add(NEW, engine.model())
    monkeypatch.undo()


CHANGES = {
    "a text": [Document(IDS[6], "salt"), *NEW[1:]],
    "a title": [*NEW[:3], Document(IDS[9], NEW[3].text, "salt"), *NEW[4:]],
    "fewer": NEW[:5],
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_text_under_an_added_id_is_refused(tmp_path, interrupt, monkeypatch, what):
    with made(tmp_path) as store:
        cut_add(store, interrupt, monkeypatch)
        before = store.content_digest()
        with pytest.raises(DuplicateDocument, match="already holds"):
            store.add(CHANGES[what], engine.model())
        assert store.content_digest() == before
        store.add(NEW, engine.model())
        assert list(store.ids()) == IDS[:18]


def test_a_deletion_in_between_is_added_again_and_a_new_text_in_between_is_not_overlooked(tmp_path, interrupt, monkeypatch):
    with made(tmp_path) as store:
        cut_add(store, interrupt, monkeypatch)
        store.delete([IDS[7]])
        store.add([*NEW, DOCUMENTS[30]], engine.model())
        assert sorted(store.ids()) == [*IDS[:18], IDS[30]] and store.verify().ok
    with made(tmp_path / "b") as store:
        cut_add(store, interrupt, monkeypatch)
        store.delete([IDS[7]])
        store.add([Document(IDS[7], "salt")], engine.model())
        with pytest.raises(DuplicateDocument, match=rf"already holds.*{IDS[6]}"):
            store.add(NEW, engine.model())


def test_chunks_of_one_document_are_added_together(tmp_path, interrupt, monkeypatch):
    with engine.store(tmp_path, documents=LONG[:3], chunks=CHUNKS, window=2) as store:
        interrupt("append.after_commit", 1)
        with pytest.raises(Interrupted):
            store.add(LONG[3:8], engine.model())
        assert store.held([document.id for document in LONG]) == {document.id for document in LONG[:5]}
        monkeypatch.undo()
        store.add(LONG[3:8], engine.model())
        with engine.store(tmp_path / "once", documents=LONG[:3], chunks=CHUNKS, window=2) as once:
            once.add(LONG[3:8], engine.model())
            assert store.content_digest() == once.content_digest() and store.verify().ok


@pytest.mark.parametrize("point", ["delete.before_commit", "delete.after_commit"])
def test_an_interrupted_delete_of_chunks_is_completed_and_then_it_is_over(tmp_path, interrupt, monkeypatch, point):
    gone = [LONG[number].id for number in (0, 3, 5)]
    with engine.store(tmp_path, documents=LONG[:6], window=WINDOW, chunks=CHUNKS) as store:
        interrupt(point, 1)
        with pytest.raises(Interrupted):
            store.delete(gone)
        monkeypatch.undo()
        with pytest.raises(MissingDocument, match="holds no document"):
            store.delete([*gone, "none"])
        store.delete([])
        store.delete(gone[::-1])
        assert store.held([document.id for document in LONG]) == {"D1", "D2", "D4"} and store.verify().ok
        with pytest.raises(MissingDocument, match="3 of 3 missing"):
            store.delete(gone)


@pytest.mark.parametrize("chunks", [None, CHUNKS])
def test_a_repeated_command_after_its_last_commit_changes_nothing(tmp_path, chunks):
    gone = [OLD[1].id, OLD[4].id]
    with made(tmp_path, chunks=chunks) as store:
        store.add(NEW, engine.model(), again=True)
        added = store.content_digest()
        store.add(NEW, engine.model(), again=True)
        store.compact()
        store.add(NEW, engine.model(), again=True)
        assert store.content_digest() == added
        store.delete(gone, again=True)
        deleted = store.content_digest()
        store.delete(gone[::-1], again=True)
        store.compact()
        store.delete(gone, again=True)
        assert store.content_digest() == deleted and store.verify().ok


OTHERS = {
    "a deletion": lambda store: store.delete([OLD[0].id]),
    "an addition": lambda store: store.add([DOCUMENTS[30]], engine.model()),
    "a part of an addition": lambda store: store.add([DOCUMENTS[30]], engine.model(), partial=True),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("chunks", [None, CHUNKS])
def test_a_command_is_repeated_only_if_nothing_changed_in_between(tmp_path, other, chunks):
    with made(tmp_path / "a", chunks=chunks) as store:
        store.delete([OLD[1].id], again=True)
        OTHERS[other](store)
        with pytest.raises(MissingDocument):
            store.delete([OLD[1].id], again=True)
    with made(tmp_path / "b", chunks=chunks) as store:
        store.add(NEW, engine.model(), again=True)
        OTHERS[other](store)
        with pytest.raises(DuplicateDocument):
            store.add(NEW, engine.model(), again=True)


def test_only_the_same_call_is_a_repeated_one(tmp_path):
    with made(tmp_path) as store:
        store.delete([OLD[1].id, OLD[2].id], again=True)
        with pytest.raises(MissingDocument):
            store.delete([OLD[1].id], again=True)
        store.add(NEW, engine.model(), again=True)
        for what, changed in CHANGES.items():
            with pytest.raises(DuplicateDocument):
                store.add(changed, engine.model(), again=True)


@pytest.mark.parametrize("chunks", [None, CHUNKS])
def test_flags_are_true_or_false(tmp_path, chunks):
    with made(tmp_path, chunks=chunks) as store:
        calls = {
            "again": (partial(store.delete, [OLD[1].id]), partial(store.add, NEW, engine.model())),
            "partial": (partial(store.add, NEW, engine.model()),),
        }
        for name, flagged in calls.items():
            for call in flagged:
                with pytest.raises(InputError, match=f"{name} is .*expected True or False"):
                    call(**{name: "no"})
        assert len(store.held([document.id for document in OLD])) == len(OLD)
