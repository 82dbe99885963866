"""Build a store: interrupted, killed, in shards, repeated; and documents that are rejected."""

import pytest

from lateint.errors import (
    DuplicateDocument,
    InputError,
    StoreError,
    StoreLocked,
    StoreMismatch,
)
from lateint.indexing.build import build_store
from lateint.indexing.store import open_store
from lateint.model.document import Document
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from lateint_store import merge
from tests.support import engine, processes
from tests.support.engine import DOCUMENTS, IDS, QUERY
from tests.support.engine_child import build_and_continue

WINDOW = 8
POINTS = {"append.after_put:1": 0, "append.before_commit:3": 2, "append.after_commit:4": 4, "manifest.after_rename:1": 0}


@pytest.fixture(scope="module")
def digest(tmp_path_factory):
    with engine.store(tmp_path_factory.mktemp("whole"), window=WINDOW) as store:
        return store.content_digest()


def interrupted(documents, at):
    yield from documents[:at]
    raise KeyboardInterrupt


@pytest.mark.parametrize("at", [0, 1, 8, 9, 31, 39])
def test_an_interrupted_build_goes_on_to_the_same_content(tmp_path, digest, at):
    with pytest.raises(KeyboardInterrupt):
        engine.store(tmp_path, documents=interrupted(DOCUMENTS, at), window=WINDOW)
    with open_store(tmp_path / "store") as begun:
        assert begun.progress.source_position == len(begun) == at // WINDOW * WINDOW
    with engine.store(tmp_path, window=WINDOW) as store:
        assert store.content_digest() == digest
        assert store.info()["encoded_by_last_run"] == len(DOCUMENTS) - at // WINDOW * WINDOW
        assert store.verify().ok


def test_a_build_killed_at_any_point_goes_on_to_the_same_content(tmp_path, digest):
    results = processes.call(build_and_continue, tmp_path, list(POINTS))
    assert [each["at"] for each in results] == list(POINTS) and all(each["killed"] for each in results)
    assert {each["digest"] for each in results} == {results[0]["digest"]}
    assert [each["run"] for each in results] == [len(DOCUMENTS) - WINDOW * kept for kept in POINTS.values()]
    with open_store(tmp_path / "append.before_commit-3") as store, engine.store(tmp_path / "whole", window=WINDOW) as whole:
        assert list(store.ids()) == list(whole.ids()) and store.verify().ok


@pytest.mark.parametrize("n", [2, 3])
def test_shards_merge_to_the_content_of_one_build(tmp_path, digest, n):
    seen = []
    for i in range(n):
        engine.store(tmp_path / str(i), window=WINDOW, shard=(i, n), progress=seen.append).close()
    with merge([tmp_path / str(i) / "store" for i in range(n)], tmp_path / "merged") as merged:
        assert merged.content_digest() == digest and list(merged.ids()) == IDS
    assert sum(now.documents for now in seen) == len(DOCUMENTS)


def test_a_finished_build_encodes_nothing_again(tmp_path, digest):
    engine.store(tmp_path, window=WINDOW).close()
    seen = []
    with engine.store(tmp_path, window=WINDOW, progress=seen.append) as store:
        assert store.info()["encoded_by_last_run"] == 0 and store.content_digest() == digest
    assert seen == []


def test_a_longer_corpus_encodes_only_what_is_new(tmp_path):
    engine.store(tmp_path, documents=DOCUMENTS[:16], window=WINDOW).close()
    with engine.store(tmp_path, window=WINDOW) as store:
        assert store.info()["encoded_by_last_run"] == 24 and list(store.ids()) == IDS


CHANGED = {
    "a text": [Document("d00", "stone"), *DOCUMENTS[1:]],
    "an id": [Document("other", DOCUMENTS[0].text), *DOCUMENTS[1:]],
    "a title": [Document("d00", DOCUMENTS[0].text, "title"), *DOCUMENTS[1:]],
    "the order": DOCUMENTS[::-1],
    "fewer documents": DOCUMENTS[:12],
}


@pytest.mark.parametrize("changed", CHANGED)
def test_another_corpus_at_the_same_place_is_refused_and_harms_nothing(tmp_path, digest, changed):
    engine.store(tmp_path, window=WINDOW).close()
    with pytest.raises(StoreMismatch, match="another path"):
        engine.store(tmp_path, documents=CHANGED[changed], window=WINDOW)
    with open_store(tmp_path / "store") as store:
        assert store.content_digest() == digest


def test_another_model_or_window_or_codec_at_the_same_place_is_refused(tmp_path):
    engine.store(tmp_path, window=WINDOW).close()
    for other in (engine.model("deformer"), engine.model("prettr", "electra")):
        with pytest.raises(StoreMismatch) as caught:
            build_store(other, DOCUMENTS, tmp_path / "store", window=WINDOW)
        assert caught.value.exit_code == 3 and engine.model().name in str(caught.value)
    with pytest.raises(StoreError, match="window 8 there, 9 here"):
        engine.store(tmp_path, window=9)
    with pytest.raises(StoreError, match="codecs"):
        engine.store(tmp_path, window=WINDOW, codecs={"states": (engine.part("int8"),)})
    with pytest.raises(InputError, match="codecs for array 'vector'"):
        engine.store(tmp_path, codecs={"vector": ()})


@pytest.mark.parametrize(("first", "second"), [(1, 2), (0, 7), (3, 30), (0, 39)])
def test_a_repeated_id_is_refused_naming_both_places(tmp_path, first, second):
    documents = list(DOCUMENTS)
    documents[second] = Document(IDS[first], "stone")
    with pytest.raises(DuplicateDocument, match=rf"\b{first}\b.*") as caught:
        engine.store(tmp_path, documents=documents, window=WINDOW)
    assert str(second) in str(caught.value) and repr(IDS[first]) in str(caught.value)
    with open_store(tmp_path / "store", write=True) as store:  # the lock was released
        assert len(store) == second // WINDOW * WINDOW and store.verify().ok


TROUBLE = [
    Document("empty", ""),
    Document("blank", " \t\n "),
    Document("one", "bread"),
    Document("emoji", "🥖 🍞 yeast 🏴󠁧󠁢󠁥󠁮󠁧󠁿"),
    Document("long", "bread " * 100_000),
    Document("wide", "x" * 100_000),
    Document("title", "oven", "bread and"),
    Document("joined", "bread and oven"),
    Document("only-title", "", "bread"),
    Document("id 🍞\n'\"", "salt"),
    Document("zero", "a\0b"),
]


@pytest.mark.parametrize("method", engine.METHODS)
def test_documents_of_every_length_and_kind_are_stored_and_ranked(tmp_path, method):
    seen = []
    with engine.store(tmp_path, method, documents=TROUBLE, window=1, progress=seen.append) as store:
        found = engine.scores(Ranker(engine.model(method), store).rank(QUERY, [document.id for document in TROUBLE]))
        rows = dict(zip(found, store.rows(list(found)), strict=True))
    assert len(found) == len(TROUBLE)
    assert found["title"] == pytest.approx(found["joined"], abs=1e-5)
    assert found["one"] == pytest.approx(found["only-title"], abs=1e-5)
    assert found["empty"] == pytest.approx(found["blank"], abs=1e-5)
    assert sum(now.cut for now in seen) == 1 and sum(now.documents for now in seen) == len(TROUBLE)
    if engine.model(method).head.reads != ("vector",):
        assert rows["long"] == (32 if method == "dipair" else 48) and rows["empty"] < rows["one"] < rows["title"]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (Document("bad", "salt \ud800"), "document 3 .*'bad'.*surrogate"),
        (Document("bad", "salt", "\udfff"), "document 3 .*'bad'.*surrogate"),
        (Document("bad", None), "document 3 .*'bad'.*NoneType"),
        (Document(7, "salt"), "document 3 .*id 7.*int"),
        (Document("", "salt"), "id '' has 0 bytes"),
        (Document("b\ud800", "salt"), "surrogate"),
    ],
)
def test_a_document_that_is_no_text_is_refused_by_name_and_the_rest_can_go_on(tmp_path, document, reason):
    with pytest.raises(InputError, match=reason):
        engine.store(tmp_path, documents=[*DOCUMENTS[:3], document, *DOCUMENTS[4:]], window=2)
    with engine.store(tmp_path, window=2) as store:
        assert list(store.ids()) == IDS and store.info()["encoded_by_last_run"] == len(IDS) - 2


def test_plain_strings_get_their_places_as_ids_and_an_empty_corpus_is_a_store(tmp_path):
    with engine.store(tmp_path / "a", documents=tiny.texts(3)) as store:
        assert list(store.ids()) == ["0", "1", "2"]
    with engine.store(tmp_path / "b", documents=[]) as store:
        assert len(store) == 0 and store.verify().ok


def test_progress_is_told_after_every_window(tmp_path):
    seen = []
    with engine.store(tmp_path, window=WINDOW, progress=seen.append) as store:
        assert [now.position for now in seen] == [8, 16, 24, 32, 40] and {now.documents for now in seen} == {8}
        assert sum(now.tokens for now in seen) == store.info()["tokens"] and seen[-1].bytes_written > 0


def test_a_line_of_progress_goes_to_stderr_only(tmp_path, capsys):
    engine.store(tmp_path, window=WINDOW, progress=True).close()
    out, err = capsys.readouterr()
    assert out == "" and "40/40" in err and "documents/s" in err and "% cut" in err


def test_a_second_writer_is_refused_while_the_first_is_at_work(tmp_path):
    with engine.store(tmp_path), pytest.raises(StoreLocked):
        engine.store(tmp_path)
