"""Stores that change, are replaced, damaged or deleted while they are served; and cascades over several."""

import asyncio
import shutil
import threading
from contextlib import suppress

import numpy as np
import pytest

from lateint.errors import DamagedStore
from lateint.indexing.build import build_store, store_layout
from lateint.indexing.store import Store, open_store
from lateint.model.document import Document
from lateint.ranking.cascade import Cascade
from lateint.ranking.ranker import Ranker
from lateint.serving.engine import Engine, make_engine
from lateint.serving.options import ServeOptions
from lateint_store import Entry, create_store, split
from lateint_store.shards.snapshot import Snapshot
from tests.support import engine as small
from tests.support.engine import DOCUMENTS, IDS, QUERY, scores
from tests.support.serving import ask, scored, serving

TEXTS = ["bread and yeast", "rain on the river"]


@pytest.fixture
def folder(tmp_path):
    """A store of the shared model, in a folder that a test may change."""
    with build_store(small.model(), DOCUMENTS[:20], tmp_path / "store", window=8):
        pass
    return tmp_path / "store"


def opened(folder):
    return make_engine(small.model(), open_store(folder), ServeOptions(store=str(folder)))


def body(ids, **fields):
    return {"query": QUERY, "documents": [{"id": doc_id} for doc_id in ids], "raw_scores": True, **fields}


def talk(engine, *steps, **options):
    """Send bodies, and call functions between them; returns the responses."""

    async def run():
        async with serving(engine, **options) as here:
            found = []
            for step in steps:
                if callable(step):
                    step()
                else:
                    found.append(await here.client.post("/v2/rerank", json=step))
            return found, here.service

    return asyncio.run(run())


def test_documents_that_another_writer_adds_and_deletes_are_followed(folder):
    def change():
        with open_store(folder, write=True) as store:
            store.add([Document("new", "bread and yeast")], small.model())
            store.delete([IDS[0]])

    engine = opened(folder)
    (before, absent, added, deleted), _ = talk(engine, body([IDS[0]]), body(["new"]), change, body(["new"]), body([IDS[0]]))
    assert [response.status_code for response in (before, absent, added, deleted)] == [200, 404, 200, 404]
    assert before.json()["store_digest"] != added.json()["store_digest"] == engine.store.content_digest()
    engine.close()


def test_after_a_commit_the_service_checks_the_id_index_beside_the_requests(folder, monkeypatch):
    scanning, entries = [], Snapshot.entries

    def noted(snapshot, database):
        if database == "ids":
            scanning.append(threading.current_thread().name)
        return entries(snapshot, database)

    async def run():
        async with serving(engine) as here:
            for asked in (lambda: here.client.post("/v2/rerank", json=body(IDS[3:5])), lambda: here.client.get("/ready")):
                with open_store(folder, write=True) as store:
                    store.delete([next(store.ids())])
                    scanning.clear()
                await asked()
                await here.service._preparing
                assert scanning and not any(name.startswith("scorer") for name in scanning)
                scanning.clear()
                assert (await here.client.post("/v2/rerank", json=body(["gone"]))).status_code == 404
                assert not scanning

    engine = opened(folder)
    monkeypatch.setattr(Snapshot, "entries", noted)
    asyncio.run(run())
    engine.close()


def test_a_set_of_stores_is_served_and_followed_like_a_store(folder, tmp_path):
    split(folder, tmp_path / "set", 2)

    def change():
        with open_store(tmp_path / "set", write=True) as store:
            store.delete([IDS[0]])

    def replace():
        (tmp_path / "set").rename(tmp_path / "old")
        split(folder, tmp_path / "set", 3)

    engine = opened(tmp_path / "set")
    expected = scores(Ranker(small.model(), open_store(folder)).rank(QUERY, IDS[:4]))
    (first, gone, back), service = talk(engine, body(IDS[:4]), change, body([IDS[0]]), replace, body(IDS[:4]))
    for found in (first, back):
        assert {IDS[index]: score for index, score in scored(found)} == expected
    assert gone.status_code == 404 and service.ready
    assert back.json()["store_digest"] == service.engine.store.content_digest() != first.json()["store_digest"]
    service.engine.close()


def test_a_store_that_takes_the_place_of_the_served_one_is_opened(folder):
    other = folder.parent / "other"
    with build_store(small.model(), DOCUMENTS[20:30], other, window=8) as built:
        digest = built.content_digest()

    def replace():
        folder.rename(folder.parent / "old")
        other.rename(folder)

    (old, new, gone), service = talk(opened(folder), body(IDS[:3]), replace, body(IDS[20:23]), body(IDS[:1]))
    assert (old.status_code, new.status_code, gone.status_code) == (200, 200, 404)
    assert new.json()["store_digest"] == digest and service.ready
    assert {IDS[20 + index]: score for index, score in scored(new)} == scores(service.engine.ranker.rank(QUERY, IDS[20:23]))


def test_a_store_of_another_model_is_never_mixed_in(folder):
    other = folder.parent / "other"
    with build_store(small.model("colbert"), DOCUMENTS[:10], other, window=8):
        pass

    def replace():
        shutil.rmtree(folder)
        other.rename(folder)

    (old, refused, again), service = talk(opened(folder), body(IDS[:3]), replace, body(IDS[:3]), body(IDS[:3]))
    assert (old.status_code, refused.status_code, again.status_code) == (200, 503, 503)
    assert "does not belong to the served model" in refused.json()["message"] and not service.ready
    assert str(folder.parent) not in refused.text


def test_a_deleted_store_is_unavailable_until_it_is_back(folder):
    kept = folder.parent / "kept"
    shutil.copytree(folder, kept)
    engine = opened(folder)

    async def run():
        async with serving(engine) as here:
            shutil.rmtree(folder)
            refused = await here.client.post("/v2/rerank", json=body(IDS[:3]))
            texts = await here.client.post("/v2/rerank", json={"query": QUERY, "documents": TEXTS})
            ready = await here.client.get("/ready")
            kept.rename(folder)
            here.service._next_attempt = 0.0
            back = await here.client.post("/v2/rerank", json=body(IDS[:3]))
            return refused, texts, ready, back, await here.client.get("/ready")

    refused, texts, ready, back, again = asyncio.run(run())
    assert [found.status_code for found in (refused, texts, ready, back, again)] == [503, 503, 503, 200, 200]
    assert ready.json()["reason"] == "the store is gone; put it back at its place"


def invert(file, at):
    """Invert a byte of a file in place."""
    with file.open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([byte ^ 255]))


def damage(folder, doc_id):
    """Change a byte of the arrays of one stored document, behind its id."""
    for file in folder.rglob("*.mdb"):
        data, at = file.read_bytes(), -1
        while (at := data.find(doc_id.encode(), at + 1)) >= 0:
            invert(file, at + 200)
            with open_store(folder) as store, suppress(DamagedStore):
                if doc_id in {problem.doc_id for problem in store.verify().problems} and store.get(IDS[8:16]):
                    return
            invert(file, at + 200)
    raise AssertionError("no byte of the document was found")


def test_a_damaged_document_fails_the_requests_that_name_it(folder):
    damage(folder, IDS[5])
    engine = Engine(Ranker(small.model(), open_store(folder)), open_store(folder), None, {})
    damaged, others = ask(engine, body(IDS[:8]), body(IDS[8:16]))
    assert damaged.status_code == 503 and others.status_code == 200
    assert damaged.json() == {
        "message": f"document '{IDS[5]}' cannot be read: its bytes in the store are damaged; leave it out",
        "code": "damaged",
        "ids": [IDS[5]],
    }


def test_a_cascade_is_that_of_the_library(folder, tmp_path):
    teacher = small.model("deformer")
    with build_store(teacher, DOCUMENTS[:20], tmp_path / "teacher", window=8) as store:
        first = opened(folder)
        cascade = Cascade(first.ranker, (Ranker(teacher, store), 5))
        engine = Engine(first.ranker, first.store, cascade, {})
        ids = IDS[:20]
        expected = cascade.rank(QUERY, ids)
        response = ask(engine, body(ids))
        assert [(ids[index], score) for index, score in scored(response)] == [(hit.doc_id, hit.score) for hit in expected]
        assert [rung["candidates"] for rung in response.json()["rungs"]] == [20, 5]
        mixed = ask(engine, {"query": QUERY, "documents": [*({"id": i} for i in ids), *TEXTS], "raw_scores": True})
        given = [Document(str(index), text) for index, text in enumerate(TEXTS)]
        both = cascade.rank(QUERY, [*ids, "0", "1"], documents=given, missing="encode")
        assert sorted(score for _, score in scored(mixed)) == sorted(hit.score for hit in both)
        assert ask(engine, body(["nowhere"])).status_code == 404
        assert ask(engine, body(ids, explain=True)).status_code == 400
        first.close()


def test_a_document_that_the_model_did_not_write_fails_its_request_and_opens_no_store_again(tmp_path):
    through, about = store_layout(small.model(), None, None)
    wrong = Entry("odd", {"states": np.ones((49, 32), np.float32)})  # more rows than a text has
    with create_store(tmp_path / "store", through, kind=Store, **about) as store:
        store.append([wrong], 1, "x")
    opened_again = open_store(tmp_path / "store")
    engine = Engine(Ranker(small.model(), opened_again), opened_again, None, {})
    (refused, again), service = talk(engine, body(["odd"]), body(["odd"]))
    assert (refused.status_code, again.status_code) == (503, 503) and "does not belong" in refused.json()["message"]
    assert service.engine is engine and service.ready, "anybody could have the store opened at every request"


def test_a_store_that_cannot_be_read_is_unready_and_names_no_path(folder):
    async def run():
        async with serving(opened(folder)) as here:
            (folder / "manifest.json").write_text("{")
            return [await here.client.get("/ready"), await here.client.post("/v2/rerank", json=body(IDS[:2]))]

    for response in asyncio.run(run()):
        assert response.status_code == 503 and str(folder.parent) not in response.text


@pytest.mark.parametrize("documents", [0, 1])
def test_a_store_without_documents_serves_texts(tmp_path, documents):
    with build_store(small.model(), DOCUMENTS[:documents], tmp_path / "store") as store:
        engine = make_engine(small.model(), store, ServeOptions(store=str(store.path)))
        found = scored(ask(engine, {"query": QUERY, "documents": TEXTS, "raw_scores": True}))
        assert found == [(int(hit.doc_id), hit.score) for hit in engine.ranker.rank(QUERY, documents=TEXTS)]
        refused = ask(engine, body(IDS[:1], budget_ms=5))
        assert refused.status_code == 400 and "budget_ms needs the measured cost" in refused.json()["message"]
