"""A call reads one snapshot of its store, and never another store that took its place."""

import threading
from collections import Counter

import pytest

from lateint.errors import StoreError, StoreMismatch
from lateint.indexing.build import build_store
from lateint.indexing.store import open_store
from lateint.indexing.view import DocumentView
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.ranking.cascade import Cascade
from lateint.ranking.ranker import Ranker
from lateint.retrieval.retriever import Retriever
from lateint.retrieval.vectors import load_vectors
from lateint_store import parse_codecs, recode
from lateint_store.reading import scan as scanning
from tests.support import engine
from tests.support.engine import CHUNKS, DOCUMENTS, IDS, LONG, QUERY
from tests.support.retrieving import RICH

LONG_IDS = [document.id for document in LONG]


def in_a_thread(action):
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


def after(monkeypatch, method, change):
    """Run `change` once in another thread, when the first call of a view's method returns."""
    original, done = getattr(DocumentView, method), []

    def changed(view, *arguments, **options):
        found = original(view, *arguments, **options)
        if not done:
            done.append(True)
            in_a_thread(change)
        return found

    monkeypatch.setattr(DocumentView, method, changed)
    return done


@pytest.mark.parametrize("change", ["delete", "shorter", "longer", "compact"])
def test_chunks_come_from_the_snapshot_that_told_their_number(tmp_path, monkeypatch, change):
    model = engine.model()
    with build_store(model, LONG, tmp_path / "s", chunks=CHUNKS) as store:
        ranker = Ranker(model, store)
        before = ranker.rank(QUERY, LONG_IDS)

        def act():
            store.delete(["D3", "D5"])
            if change != "delete":
                store.add([Document("D3", "violin" if change == "shorter" else "violin bread " * 60)], model)
            if change == "compact":
                store.compact()

        done = after(monkeypatch, "sizes", act)
        assert ranker.rank(QUERY, LONG_IDS, missing="skip").hits == before.hits and done
        now = engine.scores(ranker.rank(QUERY, LONG_IDS, missing="skip"))
        assert len(now) == len(LONG) - (2 if change == "delete" else 1)


def test_all_rungs_of_a_ladder_read_one_snapshot(tmp_path, monkeypatch):
    model = engine.fresh_model(RICH)
    with build_store(model, DOCUMENTS, tmp_path / "s") as store:
        ranker = Ranker(model, store)
        before = ranker.rank(QUERY, IDS, ladder="cosine:20")
        best = engine.order(before)[:5]

        def act():
            store.delete(best)
            store.add([Document(best[0], "violin")], model)

        done = after(monkeypatch, "fetch", act)
        assert ranker.rank(QUERY, IDS, ladder="cosine:20").hits == before.hits and done
        assert len(ranker.rank(QUERY, IDS, ladder="cosine:20", missing="skip")) == len(IDS) - 4


def test_chunked_ranking_among_deletes_and_adds_is_always_one_of_the_two_stores(tmp_path):
    model = engine.model()
    with build_store(model, LONG[:6], tmp_path / "s", chunks=CHUNKS) as store, open_store(tmp_path / "s") as reader:
        ranker, versions = Ranker(model, reader), [LONG[0], Document("D0", "violin")]
        allowed = set()
        for version in versions:
            store.delete(["D0"])
            allowed.add(ranker.rank(QUERY, LONG_IDS[:6], missing="skip").hits)
            store.add([version], model)
            allowed.add(ranker.rank(QUERY, LONG_IDS[:6]).hits)
        stop, outcomes = threading.Event(), Counter()

        def read():
            while not stop.is_set():
                outcomes[ranker.rank(QUERY, LONG_IDS[:6], missing="skip").hits in allowed] += 1

        thread = threading.Thread(target=read)
        thread.start()
        for n in range(12):
            store.delete(["D0"])
            store.add([versions[n % 2]], model)
        stop.set()
        thread.join()
        assert outcomes[True] and not outcomes[False]


def test_vectors_of_chunks_are_not_loaded_while_documents_lose_some(tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "PAGE_DOCUMENTS", 1)
    model = engine.model("cosine")
    with build_store(model, LONG, tmp_path / "s", chunks=CHUNKS, window=1) as store:
        pages = store.scan(["vector"], stable=True)
        next(pages)
        store.delete(["D5"])
        with pytest.raises(StoreError, match="were deleted while it was scanned"):
            list(pages)
        assert len(load_vectors(store)) == len(LONG) - 1


def replaced(folder, name):
    (folder / "s").rename(folder / "old")
    (folder / name).rename(folder / "s")


@pytest.mark.parametrize("how", ["rebuilt", "recoded"])
def test_ranker_retriever_and_cascade_refuse_a_store_that_took_the_place_of_theirs(tmp_path, how):
    model = engine.fresh_model(RICH)
    build_store(model, DOCUMENTS, tmp_path / "s", codecs={"vector": (part("int8"),)}).close()
    if how == "rebuilt":
        build_store(model, DOCUMENTS[::-1], tmp_path / "other").close()
    else:
        recode(tmp_path / "s", tmp_path / "other", parse_codecs("vector=int4"))[0].close()
    with open_store(tmp_path / "s") as store:
        ranker, retriever = Ranker(model, store), Retriever(model, store)
        cascade, found = Cascade(Ranker(model), (ranker, 5)), retriever.retrieve(QUERY, 5).hits
        ranker.warm_up(QUERY, IDS)
        replaced(tmp_path, "other")
        for call in (
            lambda: ranker.rank(QUERY, IDS),
            lambda: ranker.rank(QUERY, IDS, missing="skip"),
            lambda: ranker.rank(QUERY, IDS, ladder="cosine:5"),
            lambda: ranker.rank(QUERY, IDS, budget_ms=1e-3),
            lambda: ranker.warm_up(QUERY, IDS),
            lambda: retriever.retrieve(QUERY, 5),
            lambda: cascade.rank(QUERY, documents=DOCUMENTS),
            lambda: store.held(IDS),
        ):
            with pytest.raises(StoreMismatch, match="holds another store now"):
                call()
    assert retriever.retrieve(QUERY, 5).hits == found, "the vectors are in memory, and the store is closed"
