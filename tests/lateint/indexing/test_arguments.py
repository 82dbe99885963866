"""Misuse of building and of writing stores: an error that names the argument, and no folder is left behind."""

import numpy as np
import pytest

import lateint
import lateint_store
from lateint.errors import InputError
from lateint.indexing.store import open_store
from lateint.methods.registry import part
from lateint.model.document import Document
from tests.support import engine
from tests.support.engine import DOCUMENTS, IDS

NAN = float("nan")
TEXTS = [document.text for document in DOCUMENTS[:4]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("documents", value) for value in ("corpus.tsv", b"corpus", {"a": "bread"}, 7, None, Document("a", "bread"))),
        *(("path", value) for value in (None, 7, b"s", "")),
        *(("window", value) for value in (0, True, 1.5, "8")),
        *(("shard", value) for value in (1, (0.0, 2.0), ("0", "2"), (2, 2), (0,), (-1, 2), (False, True))),
        *(("codecs", value) for value in ("vector=int8", [part("int8")], {"vector": "int8"}, {"vector": ["int8"]})),
        *(("progress", value) for value in (5, "yes")),
        *(("chunks", value) for value in (20, "20/6")),
        *(("model", value) for value in ("default", None)),
    ],
)
def test_an_argument_of_another_type_is_refused_by_name(tmp_path, name, value):
    given = {"model": engine.model("cosine"), "documents": TEXTS, "path": tmp_path / "s"} | {name: value}
    with pytest.raises(InputError, match=name):
        lateint.build_store(**given)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("value", [NAN, None, 7, b"bread", ("a", "bread"), {"id": "a"}], ids=repr)
def test_an_item_that_is_no_document_is_refused_by_place(tmp_path, value):
    model = engine.model("cosine")
    for item in (value, Document("x", value), Document("x", "bread", value), Document(value, "bread")):
        with pytest.raises(InputError, match="document 4"):
            lateint.build_store(model, [*TEXTS, item], tmp_path / "s", window=2)
    with open_store(tmp_path / "s", write=True) as store:
        assert list(store.ids()) == ["0", "1", "2", "3"], "windows before it are kept"
        for item in (Document("x", value), Document("x", "bread", value), Document(value, "bread")):
            with pytest.raises(InputError, match="document 0"):
                store.add([item], model)
        assert len(store) == 4


def test_any_iterable_builds_and_changes_a_store(tmp_path):
    model = engine.model("cosine")
    with lateint.build_store(model, (document for document in DOCUMENTS), tmp_path / "a", window=np.int64(16)) as store:
        assert list(store.ids()) == IDS and store.manifest.window == 16
        store.delete(doc_id for doc_id in IDS[:2])
        store.add(iter(DOCUMENTS[:2]), model)
        assert sorted(store.ids()) == IDS and len(store.get(iter(IDS))) == len(store.rows(tuple(IDS))) == len(IDS)


@pytest.mark.parametrize("value", ["12", b"12", {"12": 1}, 12, Document("x", "bread")], ids=lambda value: type(value).__name__)
def test_a_list_is_meant_by_every_writer(tmp_path, value):
    model = engine.model("cosine")
    with lateint.build_store(model, TEXTS * 4, tmp_path / "s") as store:
        for name, call in {"ids": store.delete, "documents": lambda found: store.add(found, model)}.items():
            with pytest.raises(InputError, match=rf"^{name} is a {type(value).__name__}"):
                call(value)
        with pytest.raises(InputError, match=r"^entries is a"):
            lateint_store.Store.add(store, value)
        with pytest.raises(InputError, match=r"^entry 0 of the documents to add is a str"):
            lateint_store.Store.add(store, ["12"])
        with pytest.raises(InputError, match=r"^model is a str"):
            store.add([Document("new", "bread")], "default")
        assert len(store) == 16
    if not isinstance(value, Document):
        with pytest.raises(InputError, match=r"^paths is a"):
            lateint_store.merge(value, tmp_path / "out")
