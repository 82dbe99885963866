"""A source that ended inside a window and has grown: the same command continues, to the content of one build."""

import hashlib

import pytest

from lateint.errors import StoreMismatch
from lateint.indexing.build import build_store
from lateint.indexing.encoding import encode_window
from lateint.indexing.store import open_store
from lateint.model.document import Document
from lateint_store import merge
from lateint_store.writing import writer
from tests.support import engine
from tests.support.engine import CHUNKS, DOCUMENTS, IDS, LONG

WINDOW = 8


def facts(store):
    info = store.info()
    return {name: info[name] for name in ("content_digest", "documents", "tokens", "progress")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with engine.store(tmp_path_factory.mktemp("whole"), window=WINDOW) as store:
        return facts(store)


def grow(folder, *ends, **options):
    """Build with the first 20, 30, ... documents, one after the other, at the same place."""
    for end in ends:
        engine.store(folder, documents=DOCUMENTS[:end], window=WINDOW, **options).close()


@pytest.mark.parametrize("ends", [(20,), (3, 6, 27)])
def test_a_source_that_grew_inside_a_window_gives_the_content_of_one_build(tmp_path, whole, ends):
    grow(tmp_path, *ends)
    for again in (40 - ends[-1] // WINDOW * WINDOW, 0):
        with engine.store(tmp_path, window=WINDOW) as store:
            assert facts(store) == whole and list(store.ids()) == IDS and store.verify().ok
            assert store.info()["encoded_by_last_run"] == again


def test_documents_that_are_encoded_again_are_not_new(tmp_path):
    grow(tmp_path, 20)
    seen = []
    engine.store(tmp_path, documents=DOCUMENTS[:30], window=WINDOW, progress=seen.append).close()
    assert [(now.documents, now.again) for now in seen] == [(8, 4), (6, 0)]


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", ["append.before_commit", "append.after_commit"])
def test_a_kill_while_a_window_is_replaced_leaves_the_old_one_or_the_new_one(tmp_path, whole, at, monkeypatch):
    def killed(name):
        if name == at:
            raise Killed

    grow(tmp_path, 20)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(writer, "point", killed)
        engine.store(tmp_path, window=WINDOW)
    with open_store(tmp_path / "store") as store:
        assert list(store.ids()) == IDS[: 24 if at == "append.after_commit" else 20] and store.verify().ok
    with engine.store(tmp_path, window=WINDOW) as store:
        assert facts(store) == whole


def test_shards_of_a_source_that_grew_merge_to_one_build(tmp_path, whole, n=3):
    for i in range(n):
        grow(tmp_path / str(i), 20, 40, shard=(i, n))
    with merge([tmp_path / str(i) / "store" for i in range(n)], tmp_path / "merged") as merged:
        assert facts(merged) == whole


def test_chunks_of_a_source_that_grew_are_those_of_one_build(tmp_path):
    options = {"chunks": CHUNKS, "window": 4}
    for end in (10, 20):
        engine.store(tmp_path / "a", documents=LONG[:end], **options).close()
    grown, once = (engine.store(tmp_path / name, documents=LONG, **options) for name in "ab")
    with grown, once:
        assert facts(grown) == facts(once)


def test_documents_added_behind_stay_and_the_rest_of_the_window_follows(tmp_path):
    with engine.store(tmp_path, documents=DOCUMENTS[:20], window=WINDOW) as store:
        store.add([Document("extra", "bread")], engine.model())
    for new in (20, 0):
        with engine.store(tmp_path, window=WINDOW) as store:
            assert list(store.ids()) == [*IDS[:20], "extra", *IDS[20:]] and store.verify().ok
            assert store.info()["encoded_by_last_run"] == new


@pytest.mark.parametrize("compacted", [False, True])
def test_a_deleted_document_does_not_return_with_its_window(tmp_path, compacted):
    with engine.store(tmp_path, documents=DOCUMENTS[:20], window=WINDOW) as store:
        store.delete([IDS[17]])
        if compacted:
            store.compact()
    for _ in range(2):
        with engine.store(tmp_path, window=WINDOW) as store:
            assert list(store.ids()) == IDS[:17] + IDS[18:] and store.verify().ok


NEW = Document("new", "salt")
OTHER = {
    "an id": ([*DOCUMENTS[:5], NEW, *DOCUMENTS[6:]], "document 5 has the id 'new', where the store has 'd05'"),
    "one left out": (DOCUMENTS[:5] + DOCUMENTS[6:], "document 5 has the id 'd06', where the store has 'd05'"),
    "a text": ([*DOCUMENTS[:17], Document("d17", "salt"), *DOCUMENTS[18:]], "their ids are equal, so a title or a text"),
}


@pytest.mark.parametrize("what", OTHER)
def test_another_source_is_refused_and_its_first_other_document_is_named(tmp_path, what):
    documents, reason = OTHER[what]
    grow(tmp_path, 20)
    with pytest.raises(StoreMismatch, match=f"the first 20 documents are not those .*: {reason}.*; use another path"):
        engine.store(tmp_path, documents=documents, window=WINDOW)
    with pytest.raises(StoreMismatch, match=r"was built from; use another path"):  # it cannot be read again
        engine.store(tmp_path, documents=iter(documents), window=WINDOW)


def test_a_source_that_shrank_is_refused_and_counted(tmp_path):
    grow(tmp_path, 20)
    for left in (16, 19):
        with pytest.raises(StoreMismatch, match=f"was built from 20 documents, this corpus has {left};"):
            engine.store(tmp_path, documents=DOCUMENTS[:left], window=WINDOW)


def former_digest(ends):
    """The digest of earlier versions: a chain of windows, each with the digest before it."""
    digest, start = "", 0
    for end in ends:
        state = hashlib.blake2b(digest.encode(), digest_size=16)
        for document in DOCUMENTS[start:end]:
            for text in (document.id, document.title, document.text):
                state.update(len(text.encode()).to_bytes(8, "little") + text.encode())
        digest, start = state.hexdigest(), end
    return digest


def former(folder, ends, shard=None):
    """A store as an earlier version wrote it, with windows that end there."""
    with build_store(engine.model(), [], folder / "store", window=WINDOW, shard=shard) as store:
        for place, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            mine = shard is None or start // WINDOW % shard[1] == shard[0]
            entries = encode_window(engine.model(), DOCUMENTS[start:end], start).entries if mine else []
            store.append(entries, end, former_digest(ends[: place + 1]))


@pytest.mark.parametrize("ends", [[8, 16, 20], [8, 16, 20, 28, 36, 39]])
def test_a_store_of_an_earlier_version_goes_on(tmp_path, whole, ends):
    former(tmp_path, ends)
    with pytest.raises(StoreMismatch):
        engine.store(tmp_path, documents=[*DOCUMENTS[:3], Document("d03", "salt"), *DOCUMENTS[4:]], window=WINDOW)
    for _ in range(2):
        with engine.store(tmp_path, window=WINDOW) as store:
            assert list(store.ids()) == IDS and store.verify().ok
            assert len(ends) > 3 or facts(store) == whole | {"progress": store.info()["progress"]}
    with engine.store(tmp_path, documents=[*DOCUMENTS, Document("more", "salt")], window=WINDOW) as store:
        assert len(store) == 41


def test_shards_of_an_earlier_version_go_on_and_merge(tmp_path, whole):
    former(tmp_path / "0", [8, 16, 24, 32, 40], (0, 2))  # finished, and found complete
    former(tmp_path / "1", [8, 16, 20], (1, 2))
    for i in range(2):
        engine.store(tmp_path / str(i), window=WINDOW, shard=(i, 2)).close()
    with merge([tmp_path / "0" / "store", tmp_path / "1" / "store"], tmp_path / "merged") as merged:
        assert merged.content_digest() == whole["content_digest"]
