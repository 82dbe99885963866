"""A store is pickled by its path and opened again; a model and a ranker rank as before."""

import copy
import pickle
import shutil

import pytest

from lateint.errors import StoreError, StoreMismatch
from lateint.indexing.store import open_store
from lateint.model.document import Document
from lateint.ranking.cascade import Cascade
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine
from tests.support.engine import CHUNKS, IDS, LONG, QUERY, close, scores


@pytest.fixture
def store(tmp_path):
    with engine.store(tmp_path) as built:
        yield built


@pytest.mark.parametrize("copied", [lambda item: pickle.loads(pickle.dumps(item)), copy.copy, copy.deepcopy])
def test_a_copy_reads_the_same_and_owns_nothing_of_the_original(store, copied):
    ranker = Ranker(engine.model(), store)
    wanted = ranker.rank(QUERY, IDS).hits
    again = copied(store)
    assert type(again) is type(store) and list(again.ids()) == IDS and again.path.is_absolute()
    with pytest.raises(StoreError, match="opened for reading"):
        again.delete(["d01"])
    again.close()
    assert ranker.rank(QUERY, IDS).hits == wanted
    store.add([Document("new", "bread and oven")], engine.model())
    for one in (ranker, Cascade(ranker, (ranker, 5))):
        found = copied(one)
        assert close(scores(found.rank(QUERY, IDS)), scores(one.rank(QUERY, IDS)))
    assert len(store) == len(IDS) + 1


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_model_of_every_family_is_pickled_and_a_deep_copy_stands_alone(family):
    model = engine.fresh_model("prettr", family)
    expected = Ranker(model).logits([(QUERY, document.text) for document in engine.DOCUMENTS[:3]])
    copies = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    model.to("meta")
    for one in copies:
        found = Ranker(one).logits([(QUERY, document.text) for document in engine.DOCUMENTS[:3]])
        assert found.tolist() == expected.tolist()


def test_a_pickled_store_that_was_replaced_is_refused(tmp_path, store):
    data = pickle.dumps(store)
    store.close()
    shutil.move(tmp_path / "store", tmp_path / "old")
    engine.store(tmp_path, documents=engine.DOCUMENTS[::-1]).close()
    with pytest.raises(StoreMismatch, match="was replaced"):
        pickle.loads(data)
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(StoreError, match="no store at"):
        pickle.loads(data)


@pytest.mark.parametrize("aggregate", ["max", "first", "mean_top:2", "mean_cls"])
def test_chunks_and_aggregate_are_kept(tmp_path, aggregate):
    with engine.store(tmp_path, documents=LONG, chunks=CHUNKS) as store:
        ranker = Ranker(engine.model(), store, aggregate=aggregate)
        again = pickle.loads(pickle.dumps(ranker))
        ids = [document.id for document in LONG]
        assert close(scores(again.rank(QUERY, ids)), scores(ranker.rank(QUERY, ids))) and again.aggregate == ranker.aggregate
        again.store.close()
    unstored = Ranker(engine.model(), chunks=CHUNKS, aggregate=aggregate)
    found = pickle.loads(pickle.dumps(unstored)).rank(QUERY, documents=LONG)
    assert close(scores(found), scores(unstored.rank(QUERY, documents=LONG)))


def test_a_reader_is_pickled_where_it_is(tmp_path, store, monkeypatch):
    store.close()
    monkeypatch.chdir(tmp_path)
    with open_store("store") as reader:
        data = pickle.dumps(reader)
    monkeypatch.chdir("/")
    with pickle.loads(data) as again:
        assert list(again.ids()) == IDS
