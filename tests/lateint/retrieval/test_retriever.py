"""Retrieval equals a `cosine` ranker over the same store, after any changes of the store; and rejected input."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import InputError, ModelError, StoreError, StoreMismatch
from lateint.indexing.build import build_store
from lateint.indexing.chunks import Chunks
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.model.document import Document
from lateint.ranking.ranker import Ranker
from lateint.retrieval.retriever import Retriever
from lateint.retrieval.vectors import load_vectors
from lateint.testing import tiny
from lateint_store.reading import scan as scanning
from tests.support import engine
from tests.support.engine import DOCUMENTS, IDS, QUERIES, QUERY
from tests.support.retrieving import ALONE, RICH, same_order


@pytest.fixture(scope="module")
def retriever(rich, rich_store):
    return Retriever(rich, rich_store)


@pytest.mark.parametrize("method", ["cosine", "rich"])
@pytest.mark.parametrize("codec", ["float32", "int8"])
def test_what_is_retrieved_is_what_a_cosine_ranker_puts_first(tmp_path, rich, method, codec):
    model = rich if method == "rich" else engine.model("cosine")
    codecs = {"vector": (part("int8") if codec == "int8" else part("cast", dtype=codec),)}
    cosine = engine.fresh_model(ALONE) if method == "rich" else model
    with build_store(model, DOCUMENTS, tmp_path / "store", codecs=codecs) as built:
        retriever, ranker = Retriever(model, built), Ranker(cosine, built)
        for query in QUERIES:
            whole, found = ranker.rank(query, IDS), retriever.retrieve(query, 40)
            assert engine.scores(found) == pytest.approx(engine.scores(whole), abs=1e-6, rel=0)
            assert same_order(found, whole) and not same_order(found[::-1], whole)
            some = retriever.retrieve(query, 12)
            assert some.hits == found.hits[:12] and same_order(some, ranker.rank(query, engine.order(some)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_narrow_model_sees_vectors_as_its_head_does(tmp_path, dtype):
    model = engine.model("cosine", dtype=dtype)
    with build_store(model, DOCUMENTS, tmp_path / "store", codecs={"vector": (part("int8"),)}) as built:
        found, ranked = Retriever(model, built).retrieve(QUERY, 40), Ranker(model, built).rank(QUERY, IDS)
        assert engine.scores(found) == pytest.approx(engine.scores(ranked), abs=1e-6, rel=0)
        plain, rounded = load_vectors(built), load_vectors(built, getattr(torch, dtype))
    assert np.abs(plain.matrix - rounded.matrix).max() > 1e-5, "decoded numbers are not of this precision by themselves"


def test_vectors_that_are_not_of_length_1_are_normalised_as_the_head_says(tmp_path):
    raw = replace(preset("cosine"), vector=part("mean", normalise=False))
    dots, cosines = (engine.fresh_model(replace(raw, head=part("cosine", normalise=chosen))) for chosen in (False, True))
    rich = engine.fresh_model(replace(RICH, vector=part("mean", normalise=False)))
    with build_store(cosines, DOCUMENTS, tmp_path / "s") as built, build_store(rich, DOCUMENTS, tmp_path / "rich") as other:
        for model in (dots, cosines):
            found, wanted = Retriever(model, built).retrieve(QUERY, 40), Ranker(model, built).rank(QUERY, IDS)
            assert same_order(found, wanted) and engine.scores(found) == pytest.approx(engine.scores(wanted), rel=1e-6)
        assert max(abs(hit.score) for hit in found) <= 1 + 1e-6, "cosines"
        assert not same_order(found, Retriever(dots, built).retrieve(QUERY, 40))
        unsaid = Retriever(rich, other).retrieve(QUERY, 40)
        assert max(abs(hit.score) for hit in unsaid) <= 1 + 1e-6, "where the head says nothing, the pool does"


def test_vectors_that_a_map_made_are_normalised(tmp_path):
    model = engine.fresh_model(replace(RICH, vector_map=part("linear", width=8)))
    with build_store(model, DOCUMENTS, tmp_path / "store") as built:
        found = Retriever(model, built).retrieve(QUERY, 40)
        vectors = {doc_id: built.get([doc_id])[0]["vector"] for doc_id in IDS}
    ours = model.query(QUERY).vector.numpy()
    assert abs(np.linalg.norm(ours) - 1) > 0.01
    for hit in found:
        theirs = vectors[hit.doc_id]
        assert hit.score == pytest.approx(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs), abs=1e-5)


def test_of_a_document_in_chunks_the_best_one_counts(tmp_path):
    long = [Document(f"l#{i}", " ".join(tiny.texts(4, seed=i))) for i in range(12)]
    model = engine.model("cosine")
    with build_store(model, long, tmp_path / "s", chunks=Chunks(20, 4)) as built:
        retriever, ids = Retriever(model, built), [document.id for document in long]
        assert len(retriever) == 12 and len(list(built.ids())) > 24
        for query in QUERIES:
            wanted, found = Ranker(model, built).rank(query, ids), retriever.retrieve(query, 12)
            assert same_order(found, wanted) and engine.scores(found) == pytest.approx(engine.scores(wanted), abs=1e-6)
            assert retriever.retrieve(query, 3).hits == retriever.retrieve(query, 12).hits[:3]
            first = engine.scores(Ranker(model, built, aggregate="first").rank(query, ids))
            assert first != pytest.approx(engine.scores(wanted), abs=1e-6)


def test_every_page_and_shard_and_no_deleted_document_is_found(tmp_path, rich, retriever, monkeypatch):
    monkeypatch.setattr(scanning, "PAGE_DOCUMENTS", 5)
    with build_store(rich, DOCUMENTS, tmp_path / "s", window=7) as built:
        expected = Retriever(rich, built).retrieve(QUERY, 40)
        assert engine.close(engine.scores(expected), engine.scores(retriever.retrieve(QUERY, 40)))
        built.delete(engine.order(expected)[:3])
        before = Retriever(rich, built)
        built.add([Document("new", DOCUMENTS[3].text)], rich)
        for step in ("compact", "seal"):
            after = Retriever(rich, built)
            assert len(after) == 38 and "new" in engine.order(after.retrieve(QUERY, 40))
            assert [hit for hit in after.retrieve(QUERY, 40) if hit.doc_id != "new"] == list(expected.hits[3:])
            getattr(built, step)()
        assert len(before) == 37 and before.retrieve(QUERY, 40).hits == expected.hits[3:], "as it was made"


def test_documents_that_are_added_while_vectors_are_read_are_left_out(tmp_path, rich, monkeypatch):
    monkeypatch.setattr(scanning, "PAGE_DOCUMENTS", 5)
    with build_store(rich, DOCUMENTS, tmp_path / "s", window=7) as built:
        plain, numbers = built.decode, itertools.count()

        def add_meanwhile(page):
            built.add([Document(f"new{next(numbers)}", "bread")], rich)
            if IDS[39] in built:
                built.delete([IDS[39]])
            return plain(page)

        monkeypatch.setattr(built, "decode", add_meanwhile)
        held = load_vectors(built)
        assert held.ids == IDS[:39] and held.matrix.shape == (39, 32) and np.isfinite(held.matrix).all()
        with pytest.raises(StoreError, match="changed while its vectors were read"):
            Retriever(rich, built, "hnsw", index_file=tmp_path / "graph")
    assert not (tmp_path / "graph").exists()


def test_documents_that_come_between_the_count_and_the_first_page_are_in(tmp_path, rich, monkeypatch):
    with build_store(rich, DOCUMENTS[:20], tmp_path / "s") as built:
        plain = built.scan
        monkeypatch.setattr(
            built, "scan", lambda arrays, stable: (built.add(DOCUMENTS[20:], rich), plain(arrays, stable=stable))[1]
        )
        held = load_vectors(built)
        wanted = [arrays["vector"] for arrays in built.get(IDS)]
    assert held.ids == IDS and (held.matrix == np.stack(wanted)).all()


def test_timing_counts_all_documents_and_nothing_read(retriever):
    first, second = retriever.retrieve_many(QUERIES[:2], 3)
    assert first.timing == second.timing and first.timing.candidates == len(retriever) == 40
    assert 0 < first.timing.compute_ms <= first.timing.total_ms and first.timing.bytes_read == 0
    assert first.timing.head == "cosine" and len(first) == 3 and list(retriever.retrieve_many([], 3)) == []


def test_threads_get_the_serial_results(retriever):
    expected = [retriever.retrieve(query, 5).hits for query in QUERIES]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: retriever.retrieve(QUERIES[at], 5).hits, list(range(10)) * 5))
    assert found == expected * 5 and len(set(expected)) == 10


def test_requests_that_cannot_be_meant_are_refused(rich, rich_store, retriever, tmp_path):
    for k in (0, -1, True):
        with pytest.raises(InputError, match=f"k={k}; expected at least 1"):
            retriever.retrieve(QUERY, k)
        with pytest.raises(InputError, match=f"k={k}"):
            retriever.retrieve_many(QUERIES, k)
    with pytest.raises(InputError, match="holds no token"):
        retriever.retrieve("  ")
    with pytest.raises(InputError, match="'exact' or 'hnsw'"):
        Retriever(rich, rich_store, "faiss")
    with pytest.raises(InputError, match="index='hnsw'"):
        Retriever(rich, rich_store, index_file=tmp_path / "graph")


def test_stores_and_models_that_do_not_fit_are_refused(tmp_path, rich, rich_store):
    for method in ("colbert", "prettr"):
        refused = pytest.raises(InputError, match="no array 'vector', only states; index with a method")
        with engine.store(tmp_path / method, method) as built, refused:
            Retriever(engine.model(method), built)
    with pytest.raises(InputError, match=r"method 'prettr' of .* computes no vectors"):
        Retriever(engine.model("prettr"), rich_store)
    with pytest.raises(StoreMismatch, match=r"vector\.weights differ"):
        Retriever(engine.shaken(RICH), rich_store)
    with pytest.raises(StoreMismatch, match="layout, tokenizer differ"):
        Retriever(engine.model("cosine"), rich_store)
    with build_store(rich, [], tmp_path / "empty") as empty, pytest.raises(InputError, match="holds no documents"):
        Retriever(rich, empty)


def test_only_facts_of_vectors_count(tmp_path, rich, rich_store, retriever):
    """Another depth changes states but not vectors, which are computed after all layers of the encoder."""
    deeper = engine.fresh_model(RICH, offline_layers=3)
    with pytest.raises(StoreMismatch, match=r"states\.layers"):
        Ranker(deeper, rich_store)
    found, expected = Retriever(deeper, rich_store).retrieve(QUERY, 40), retriever.retrieve(QUERY, 40)
    assert engine.close(engine.scores(found), engine.scores(expected))


def test_a_query_vector_that_is_no_number_is_refused(tmp_path):
    spoilt = engine.fresh_model("cosine")
    with build_store(spoilt, DOCUMENTS[:4], tmp_path / "s") as built:
        retriever = Retriever(spoilt, built)
    next(spoilt.backbone.bare.embeddings.parameters()).data.fill_(float("nan"))  # `data`: not noticed as a change
    with pytest.raises(ModelError, match="not finite"):
        retriever.retrieve(QUERY)
