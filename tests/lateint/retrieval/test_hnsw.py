"""The graph index: recall against exact search, its file and the checks of it, and an installation without usearch."""

import builtins

import numpy as np
import pytest
from usearch.index import Index

from lateint.errors import InputError, MissingExtra
from lateint.indexing.build import build_store
from lateint.retrieval.hnsw import Hnsw
from lateint.retrieval.retriever import Retriever
from tests.support import engine
from tests.support.engine import DOCUMENTS, QUERIES
from tests.support.retrieving import over, unit, vectors


def test_a_graph_finds_most_of_what_an_exact_search_finds():
    held = vectors(unit(3_000, 32))
    exact, graph = over(held), over(held, Hnsw)
    shares = []
    for text in map(str, range(0, 3_000, 100)):
        wanted, found = exact.retrieve(text, 10), graph.retrieve(text, 10)
        shares.append(len(set(engine.order(wanted)) & set(engine.order(found))) / 10)
        assert set(found.hits) - set(wanted.hits) <= set(exact.retrieve(text, 3_000).hits), "scores are exact"
    assert np.mean(shares) >= 0.9
    assert len(graph.retrieve("5", 5_000)) <= 3_000


def test_a_graph_is_kept_in_a_file_of_its_content(tmp_path, rich, rich_store, monkeypatch):
    file = tmp_path / "graph"
    built = Retriever(rich, rich_store, "hnsw", index_file=file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph", "graph.json"]
    monkeypatch.setattr(Index, "add", lambda *_, **__: pytest.fail("built again"))
    loaded = Retriever(rich, rich_store, "hnsw", index_file=file)
    exact = Retriever(rich, rich_store)
    for query in QUERIES:
        assert loaded.retrieve(query, 40).hits == built.retrieve(query, 40).hits == exact.retrieve(query, 40).hits


def test_a_graph_file_of_other_content_or_damaged_is_refused(tmp_path, rich, rich_store):
    file = tmp_path / "graph"
    Retriever(rich, rich_store, "hnsw", index_file=file)
    refused = pytest.raises(InputError, match=r"40 documents of content \w{12}, the store 30 documents .* remove it")
    with build_store(rich, DOCUMENTS[:30], tmp_path / "s") as other, refused:
        Retriever(rich, other, "hnsw", index_file=file)
    engine.flip(file, 200)
    with pytest.raises(InputError, match="damaged or of other vectors"):
        Retriever(rich, rich_store, "hnsw", index_file=file)
    (tmp_path / "graph.json").unlink()
    with pytest.raises(InputError, match="cannot read the index"):
        Retriever(rich, rich_store, "hnsw", index_file=file)
    with pytest.raises(InputError, match="cannot write the index"):
        Retriever(rich, rich_store, "hnsw", index_file=tmp_path / "no" / "graph")


def test_without_usearch_the_error_says_what_to_install(rich, rich_store, monkeypatch):
    plain = builtins.__import__

    def without(name, *rest):
        if name.startswith("usearch"):
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'lateint\[retrieve\]'"):
        Retriever(rich, rich_store, "hnsw")
    assert len(Retriever(rich, rich_store)) == 40
