"""What callers pass to rankers: any iterable is read once and by position; what is no list, id or text is refused by name."""

import numpy as np
import pandas as pd
import pytest

import lateint
import lateint_store
from lateint.errors import InputError
from lateint.indexing.store import open_store
from lateint.model.document import Document
from lateint.ranking.cascade import Cascade
from lateint.ranking.ranker import Ranker
from lateint.retrieval.retriever import Retriever
from tests.support import engine
from tests.support.engine import DOCUMENTS, IDS, QUERIES, QUERY, order, scores

TEXTS = [document.text for document in DOCUMENTS[:6]]
PAIRS = list(zip(QUERIES, TEXTS, strict=False))
NAN = float("nan")
MADE = {
    "shuffled series": lambda items: pd.Series(items, index=range(len(items))[::-1]),
    "filtered series": lambda items: pd.Series(items, index=range(7, 7 + len(items))),
    "generator": lambda items: (item for item in items),
    "tuple": tuple,
    "map": lambda items: map(lambda item: item, items),
}


@pytest.fixture(scope="module")
def ranker(tmp_path_factory):
    with engine.store(tmp_path_factory.mktemp("prettr")) as store:
        yield Ranker(engine.model(), store)


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_any_iterable_is_read_once_and_by_position(ranker, make):
    unstored = Ranker(ranker.model)
    assert np.array_equal(ranker.logits(make(PAIRS)), ranker.logits(PAIRS))
    assert np.array_equal(ranker.predict(make(PAIRS)), ranker.predict(PAIRS))
    ranked = ranker.rank_texts(QUERY, make(TEXTS), return_documents=True)
    assert ranked == ranker.rank_texts(QUERY, TEXTS, return_documents=True)
    assert all(hit["text"] == TEXTS[hit["corpus_id"]] for hit in ranked)
    assert ranker.rank(QUERY, make(IDS)).hits == ranker.rank(QUERY, IDS).hits
    assert unstored.rank(QUERY, documents=make(TEXTS)).hits == unstored.rank(QUERY, documents=TEXTS).hits
    both = Cascade(unstored, (unstored, 3))
    found, wanted = both.rank(QUERY, documents=make(TEXTS)), both.rank(QUERY, documents=TEXTS)
    assert found.hits == wanted.hits and [rung.candidates for rung in found.timing.rungs] == [6, 3]


def test_arrays_of_numpy_are_lists(ranker):
    assert np.array_equal(ranker.logits(np.array(PAIRS)), ranker.logits(PAIRS))
    assert ranker.predict(np.array(PAIRS[0])) == ranker.predict(PAIRS[0])
    assert ranker.rank(QUERY, np.array(IDS)).hits == ranker.rank(QUERY, IDS).hits
    assert ranker.rank(QUERY, documents=np.array(TEXTS, object)).hits == ranker.rank(QUERY, documents=TEXTS).hits


def test_queries_of_retrieval_may_be_any_iterable(rich, rich_store):
    retriever = Retriever(rich, rich_store)
    wanted = [ranking.hits for ranking in retriever.retrieve_many(QUERIES[:3], 5)]
    for make in MADE.values():
        assert [ranking.hits for ranking in retriever.retrieve_many(make(QUERIES[:3]), 5)] == wanted


NO_LISTS = ["12", b"12", {"d01": "bread"}, 7, Document("a", "bread"), pd.DataFrame({"a": ["d01"], "b": ["d02"]})]


@pytest.mark.parametrize("value", NO_LISTS, ids=lambda value: type(value).__name__)
def test_what_is_no_list_is_refused_by_name(ranker, value):
    cascade = Cascade(ranker)
    calls = {
        "doc_ids": [lambda: ranker.rank(QUERY, value), lambda: cascade.rank(QUERY, value), lambda: ranker.warm_up("a", value)],
        "documents": [lambda: ranker.rank(QUERY, documents=value), lambda: cascade.rank(QUERY, documents=value)],
        "texts": [lambda: ranker.rank_texts(QUERY, value)],
        "pairs": [lambda: ranker.logits(value), lambda: ranker.predict(value)],
        "ids": [lambda: ranker.store.get(value), lambda: ranker.store.delete(value), lambda: ranker.store.held(value)],
    }
    for name, some in calls.items():
        for call in some:
            with pytest.raises(InputError, match=rf"^{name} is a {type(value).__name__}"):
                call()
    assert len(ranker.store) == len(IDS)


@pytest.mark.parametrize("value", [None, NAN, np.float32("nan"), pd.NA, 7, b"bread", ["bread"]], ids=repr)
def test_a_value_that_is_no_str_never_becomes_a_word(ranker, value):
    calls = {
        "query": lambda: ranker.rank(value, IDS),
        "the text of document 1": lambda: ranker.rank(QUERY, documents=[DOCUMENTS[0], Document("b", value)]),
        "the title of document 0": lambda: ranker.rank(QUERY, documents=[Document("b", "bread", value)]),
        r"texts\[1\]": lambda: ranker.rank_texts(QUERY, ["bread", value]),
        r"the text of pairs\[1\]": lambda: ranker.logits([PAIRS[0], (QUERY, value)]),
        r"the query of pairs\[0\]": lambda: ranker.predict([(value, "bread")]),
        r"doc_ids\[0\]": lambda: ranker.rank(QUERY, [value]),
        "the text of document 'b'": lambda: ranker.model.document_tokens([Document("b", value)]),
    }
    for name, call in calls.items():
        with pytest.raises(InputError, match=rf"^{name}") as found:
            call()
        assert ('fillna("")' in str(found.value)) == (str(value) in ("None", "nan", "<NA>"))


def test_pairs_that_are_none_are_refused_by_place(ranker):
    for bad in (("a", "b", "c"), "ab", ("a",), {"a", "b"}, {"q": "a", "t": "b"}, 7):
        with pytest.raises(InputError, match=r"^pairs\[1\] is a .* expected a pair"):
            ranker.logits([PAIRS[0], bad])
    with pytest.raises(InputError, match=r"^pairs\[0\] is a str"):
        ranker.logits(PAIRS[0])


def test_counts_and_choices_are_checked_by_name(ranker):
    for value in (True, 1.5, "3", 0, [1]):
        with pytest.raises(InputError, match=r"^top_k="):
            ranker.rank(QUERY, IDS, top_k=value)
        with pytest.raises(InputError, match=r"^top_k="):
            Cascade(ranker).rank(QUERY, IDS, top_k=value)
    assert ranker.rank(QUERY, IDS, top_k=np.int64(2)).hits == ranker.rank(QUERY, IDS).hits[:2]
    for value in (["skip"], None, 1):
        with pytest.raises(InputError, match=r"^missing="):
            ranker.rank(QUERY, IDS, missing=value)
    for value in (True, "5", [5], NAN):
        with pytest.raises(InputError, match=r"^budget_ms="):
            ranker.rank(QUERY, IDS, budget_ms=value)
    for value in (7, [7], ["cosine"], {"cosine": 3}):
        with pytest.raises(InputError, match=r"^ladder"):
            ranker.rank(QUERY, IDS, ladder=value)


def test_parts_of_other_types_are_refused_with_the_call_that_makes_them(ranker, rich, rich_store):
    path = ranker.store.path
    with lateint_store.open_store(path) as bare:
        for store in (path, str(path), bare):
            for kind in (Ranker, Retriever):
                with pytest.raises(InputError, match=r"^store is a .*lateint\.open_store"):
                    kind(ranker.model, store)
    with pytest.raises(InputError, match=r"^store is"):
        Retriever(rich, None)
    for kind in (Ranker, Retriever):
        with pytest.raises(InputError, match=r"^model is a str, 'default'.*lateint\.load_model"):
            kind("default", rich_store)
    with pytest.raises(InputError, match=r"^chunks is a int.*lateint\.Chunks"):
        Ranker(ranker.model, chunks=20)
    with pytest.raises(InputError, match=r"^aggregate is a int"):
        Ranker(ranker.model, chunks=engine.CHUNKS, aggregate=3)
    for bad in [(ranker.model,), (ranker, ranker), (ranker, (ranker.model, 3)), (ranker, (ranker, 3, 4))]:
        with pytest.raises(InputError, match=r"of a cascade is a .*expected a"):
            Cascade(*bad)


def test_documents_that_would_not_be_used_are_refused(ranker):
    extra = [Document("new", "yeast and flour")]
    for missing in ("error", "skip"):
        for one in (ranker, Cascade(ranker), Cascade(ranker, (ranker, 3))):
            with pytest.raises(InputError, match=f"missing='{missing}' would use none of the 1 documents"):
                one.rank(QUERY, IDS, documents=extra, missing=missing)
        assert ranker.rank(QUERY, IDS, documents=[], missing=missing).hits == ranker.rank(QUERY, IDS).hits


def test_a_document_given_twice_is_refused(ranker):
    twice = [Document("new", "yeast"), Document("new", "flour")]
    for one in (ranker, Cascade(ranker), Cascade(ranker, (Ranker(ranker.model), 3))):
        with pytest.raises(InputError, match="'new' is given twice"):
            one.rank(QUERY, [*IDS, "new"], documents=twice, missing="encode")


def test_equal_texts_tie(ranker):
    texts = [document.text for document in DOCUMENTS] * 3
    found = scores(Ranker(ranker.model).rank(QUERY, documents=texts))
    logits = ranker.logits([(QUERY, text) for text in texts])
    for index in range(len(DOCUMENTS)):
        assert len({found[str(index + 40 * k)] for k in range(3)}) == 1
        assert len({logits[index + 40 * k] for k in range(3)}) == 1
    assert len(set(found.values())) == len(set(logits.tolist())) == len(set(texts[:40])) == 40
    title = [Document("a", "oven", "bread"), Document("b", "oven", "bread"), Document("c", "oven")]
    assert len(set(scores(Ranker(ranker.model).rank(QUERY, documents=title)).values())) == 2


def test_a_store_of_chunks_refuses_the_same(tmp_path):
    with engine.store(tmp_path, documents=engine.LONG, chunks=engine.CHUNKS) as store:
        for call in (store.delete, store.held, store.sizes, store.get):
            with pytest.raises(InputError, match=r"^ids is a str"):
                call("D1")
        store.delete(doc_id for doc_id in ["D1", "D2"])
        assert store.held(f"D{n}" for n in range(4)) == {"D0", "D3"}
        ranker = Ranker(engine.model(), store)
        assert order(ranker.rank(QUERY, (f"D{n}" for n in (3, 4)))) == order(ranker.rank(QUERY, ["D3", "D4"]))
    for path in (None, 7, b"x", ""):
        for call in (open_store, lateint_store.open_store):
            with pytest.raises(InputError, match=r"^path is a"):
                call(path)
    with pytest.raises(InputError, match=r"^path is a"):
        lateint.build_store(engine.model(), TEXTS, "")
