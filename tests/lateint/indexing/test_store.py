"""A store with its recorded model: documents are added, rejected, deleted and added again."""

import pytest

from lateint.errors import DuplicateDocument, InputError, MissingDocument, StoreError, StoreMismatch
from lateint.indexing.store import open_store
from lateint.model.document import Document
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from lateint_store import Entry
from tests.support import engine
from tests.support.engine import DOCUMENTS, IDS, QUERY

WINDOW = 8


def test_documents_are_added_by_the_recorded_model_or_the_one_given(tmp_path):
    with engine.store(tmp_path, documents=DOCUMENTS[:20], window=WINDOW) as store:
        store.add(DOCUMENTS[20:30], engine.model())
        store.add(DOCUMENTS[30:])
        store.add([])
        assert list(store.ids()) == IDS and store.verify().ok
        added = engine.scores(Ranker(engine.model(), store).rank(QUERY, IDS))
    with engine.store(tmp_path / "whole") as whole:
        assert engine.close(added, engine.scores(Ranker(engine.model(), whole).rank(QUERY, IDS)))


def test_add_refuses_what_is_there_what_comes_twice_and_what_another_model_made(tmp_path):
    new = [Document(f"n{i}", text) for i, text in enumerate(tiny.texts(20, seed=2))]
    with engine.store(tmp_path, window=WINDOW) as store:
        before = store.content_digest()
        for documents, reason in (([*new, DOCUMENTS[5]], "already holds.*'d05'"), ([*new, new[0]], "'n0'.* twice")):
            with pytest.raises(DuplicateDocument, match=reason):
                store.add(documents, engine.model())
        with pytest.raises(StoreMismatch, match="index again"):
            store.add(new, engine.model("deformer"))
        with pytest.raises(InputError, match="expected Document for all"):
            store.add([*new, "text"])
        with pytest.raises(InputError, match="surrogate"):
            store.add([Document("bad", "\ud800")], engine.model())
        assert store.content_digest() == before
    with open_store(tmp_path / "store") as store, pytest.raises(StoreError, match="for reading"):
        store.add(new, engine.model())


def test_entries_that_are_already_encoded_can_be_added(tmp_path):
    model = engine.model()
    with engine.store(tmp_path, documents=DOCUMENTS[:20]) as store:
        rows = model.document_tokens(DOCUMENTS[20:22])
        store.add([Entry(i, arrays) for i, arrays in zip(IDS[20:22], model.encode(rows), strict=True)])
        assert list(store.ids()) == IDS[:22] and store.verify().ok


def test_a_deleted_document_is_missing_and_can_come_back(tmp_path):
    with engine.store(tmp_path) as store:
        ranker = Ranker(engine.model(), store)
        before = engine.scores(ranker.rank(QUERY, IDS))
        store.delete(["d03"])
        with pytest.raises(MissingDocument, match="'d03'"):
            ranker.rank(QUERY, IDS)
        assert "d03" not in engine.scores(ranker.rank(QUERY, IDS, missing="skip"))
        store.add([DOCUMENTS[3]], engine.model())
        assert engine.close(engine.scores(ranker.rank(QUERY, IDS)), before)
