"""Ranking over a set of stores is ranking over the merged store: the same scores, bit for bit, in every read."""

import pytest

from lateint.errors import DuplicateDocument, MissingDocument, StoreError, StoreMismatch
from lateint.indexing.build import build_store
from lateint.indexing.store import DocumentStoreSet, Store, open_store
from lateint.model.document import Document
from lateint.ranking.cascade import Cascade
from lateint.ranking.ranker import Ranker
from lateint.retrieval.retriever import Retriever
from lateint_store import create_set, merge, owner_of, split
from tests.support import engine
from tests.support.engine import CHUNKS, DOCUMENTS, IDS, LONG, QUERY
from tests.support.retrieving import RICH

LONG_IDS = [document.id for document in LONG]
CASES = {
    "whole": (DOCUMENTS[:24], IDS[:24], {"window": 4}),
    "chunks": (LONG[:12], LONG_IDS[:12], {"window": 2, "chunks": CHUNKS}),
}


@pytest.fixture(scope="module", params=list(CASES))
def stores(request, tmp_path_factory):
    """A model, a merged store and sets of the same documents: of the shards of a build, and of a split; and their ids."""
    folder = tmp_path_factory.mktemp("sets")
    documents, ids, options = CASES[request.param]
    model = engine.model(RICH)
    parts = [folder / f"part{number}" for number in range(2)]
    for number, part in enumerate(parts):
        build_store(model, documents, part, shard=(number, 2), **options).close()
    merge(parts, folder / "merged").close()
    create_set(folder / "shards", parts)
    split(folder / "merged", folder / "split", 3, by="document" if "chunks" in options else "id")
    with (
        open_store(folder / "merged") as merged,
        open_store(folder / "shards") as shards,
        open_store(folder / "split") as owned,
    ):
        yield model, merged, (shards, owned), ids


def hits(ranking):
    return [(hit.doc_id, hit.score) for hit in ranking]


def test_rankings_are_those_of_the_merged_store(stores):
    model, merged, sets, ids = stores
    expected = Ranker(model, merged)
    for store in sets:
        ranker = Ranker(model, store)
        for given in (ids, [ids[4], "gone", ids[1]]):
            ours, theirs = (each.rank(QUERY, given, missing="skip") for each in (ranker, expected))
            assert hits(ours) == hits(theirs) and ours.timing.bytes_read == theirs.timing.bytes_read
        assert hits(ranker.rank(QUERY, ids, ladder="cosine:7")) == hits(expected.rank(QUERY, ids, ladder="cosine:7"))
        extra = [Document("gone", "bread and yeast")]
        given = [ids[2], "gone"]
        ours, theirs = (each.rank(QUERY, given, documents=extra, missing="encode") for each in (ranker, expected))
        assert hits(ours) == hits(theirs)
        assert hits(Cascade(ranker, (ranker, 3)).rank(QUERY, ids)) == hits(Cascade(expected, (expected, 3)).rank(QUERY, ids))
        with pytest.raises(MissingDocument, match="'gone'"):
            ranker.rank(QUERY, ["gone"])


def test_every_other_read_is_that_of_the_merged_store(stores):
    model, merged, sets, ids = stores
    expected = {doc_id: {name: array.tobytes() for name, array in merged.get([doc_id])[0].items()} for doc_id in merged.ids()}
    for store in sets:
        assert isinstance(store, Store) and isinstance(store, DocumentStoreSet) and store.chunks == merged.chunks
        found = {doc_id: {name: array.tobytes() for name, array in store.get([doc_id])[0].items()} for doc_id in store.ids()}
        assert found == expected and len(store) == len(merged) and store.verify().ok
        assert store.sizes([*ids, "gone"]) == merged.sizes([*ids, "gone"]) and store.held([ids[0], "gone"]) == {ids[0]}
        assert hits(Retriever(model, store).retrieve(QUERY, 9)) == hits(Retriever(model, merged).retrieve(QUERY, 9))
        for name in ("documents", "tokens", "fingerprint", "model", "head", "codecs", "arrays"):
            assert store.info()[name] == merged.info()[name]


def test_explanations_are_those_of_the_merged_store(tmp_path):
    model = engine.model("colbert")
    build_store(model, DOCUMENTS[:12], tmp_path / "whole", window=4).close()
    split(tmp_path / "whole", tmp_path / "set", 2)
    with open_store(tmp_path / "whole") as whole, open_store(tmp_path / "set") as store:
        assert Ranker(model, store).explain(QUERY, IDS[5]) == Ranker(model, whole).explain(QUERY, IDS[5])


def test_the_owner_of_a_document_is_computed_also_where_it_is_cut_into_chunks(stores):
    _, _, (_, owned), ids = stores
    for number, path in enumerate(owned.members):
        with open_store(path) as member:
            assert member.held(ids) == {doc_id for doc_id in ids if owner_of(doc_id, 3) == number} != set()


def test_a_set_takes_and_gives_up_documents_at_their_owners(tmp_path):
    model, ids = engine.model(RICH), LONG_IDS[:6]
    with build_store(model, LONG[:6], tmp_path / "whole", chunks=CHUNKS) as whole:
        entries = len(whole)
    split(tmp_path / "whole", tmp_path / "set", 3, by="document")
    new = [Document(f"n#{number}", document.text) for number, document in enumerate(DOCUMENTS[:12])]
    with open_store(tmp_path / "set", write=True) as store:
        for refused in ([*new, Document(ids[0], "x")], [*new, new[0]]):
            with pytest.raises(DuplicateDocument):
                store.add(refused, model)
        assert len(store) == entries
        store.add(new[:7], model, partial=True)
        store.add(new, model)
        store.add(new, model, again=True)
        with pytest.raises(DuplicateDocument, match="already holds"):
            store.add(new, model)
        store.delete([ids[0], "n#3"])
        store.delete([ids[0], "n#3"], again=True)
        wanted = {*ids[1:], *(document.id for document in new)} - {"n#3"}
        assert store.held([*ids, *(document.id for document in new)]) == wanted and store.verify().ok
        for number, path in enumerate(store.members):
            with open_store(path) as member:
                assert member.held(wanted) == {doc_id for doc_id in wanted if owner_of(doc_id, 3) == number}
        ranker, left = Ranker(model, store), [document for document in new if document.id in wanted]
        stored = engine.scores(ranker.rank(QUERY, [document.id for document in left]))
        assert engine.close(stored, engine.scores(ranker.rank(QUERY, documents=left)))


def test_a_store_of_other_chunks_is_no_member(tmp_path):
    model = engine.model(RICH)
    build_store(model, LONG[:4], tmp_path / "a", chunks=CHUNKS).close()
    build_store(model, DOCUMENTS[:4], tmp_path / "b").close()
    with pytest.raises(StoreMismatch, match="chunks 20/6 there, None here"):
        create_set(tmp_path / "set", [tmp_path / "a", tmp_path / "b"])
    split(tmp_path / "a", tmp_path / "torn", 2, by="id")
    with pytest.raises(StoreError, match="split the store again, by document"):
        open_store(tmp_path / "torn")
