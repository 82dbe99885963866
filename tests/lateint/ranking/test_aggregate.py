"""Document scores from chunk scores, compared with brute force over texts, with and without a store."""

import numpy as np
import pytest
import torch

from lateint.errors import InputError, MissingDocument, ModelError, StoreMismatch
from lateint.heads.inputs import Candidates
from lateint.indexing.build import build_store
from lateint.indexing.chunks import Chunks, cut
from lateint.model.document import Document
from lateint.ranking.aggregate import Aggregate
from lateint.ranking.ranker import Ranker
from tests.support import engine
from tests.support.engine import CHUNKS, LONG, METHODS, QUERIES, QUERY

IDS = [document.id for document in LONG]
BY_HAND = {"max": max, "first": lambda own: own[0], "mean_top:2": lambda own: np.mean(sorted(own)[-2:])}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with build_store(engine.model(), LONG, tmp_path_factory.mktemp("chunked") / "s", chunks=CHUNKS, window=4) as built:
        yield built


def chunk_scores(model, chunks=CHUNKS, documents=LONG):
    """{id: scores of its chunks}, with the text of each chunk scored alone."""
    plain, found = Ranker(model), {}
    for document in documents:
        pieces = cut(chunks, model, [document]).documents
        texts = [chunk.full_text for chunk in pieces]
        found[document.id] = plain.logits([(QUERY, text) for text in texts]).tolist()
    return found


@pytest.mark.parametrize("aggregate", BY_HAND)
def test_a_document_scores_as_its_chunks_alone_say(store, aggregate):
    model = engine.model()
    expected = {doc_id: float(BY_HAND[aggregate](own)) for doc_id, own in chunk_scores(model).items()}
    stored = Ranker(model, store, aggregate=aggregate).rank(QUERY, IDS)
    assert engine.close(engine.scores(stored), expected)
    assert engine.close(engine.scores(Ranker(model, chunks=CHUNKS, aggregate=aggregate).rank(QUERY, documents=LONG)), expected)
    assert engine.order(stored) == sorted(expected, key=lambda doc_id: -expected[doc_id])
    assert stored.timing.candidates == len(IDS)
    for other in set(BY_HAND) - {aggregate}:
        assert not engine.close(engine.scores(Ranker(model, store, aggregate=other).rank(QUERY, IDS)), expected)


def test_max_is_the_default_and_another_overlap_changes_scores(store):
    model = engine.model()
    plain = engine.scores(Ranker(model, store).rank(QUERY, IDS))
    assert plain == engine.scores(Ranker(model, store, aggregate="max").rank(QUERY, IDS))
    other = engine.scores(Ranker(model, chunks=Chunks(20, 2)).rank(QUERY, documents=LONG))
    assert not engine.close(other, plain)


@pytest.mark.parametrize("method", METHODS)
def test_one_chunk_is_no_chunking(tmp_path, method):
    model, documents = engine.model(method), [Document(d.id, d.text[:60], d.title) for d in LONG]
    expected = engine.scores(Ranker(model).rank(QUERY, documents=documents))
    with build_store(model, documents, tmp_path / "s", chunks=Chunks(48, 8)) as built:
        assert len(built) == len(documents)
        for aggregate in (
            "max",
            "first",
            "mean_top:3",
            *(["mean_cls"] if method in ("prettr", "deformer", "cross_encoder") else []),
        ):
            assert engine.close(engine.scores(Ranker(model, built, aggregate=aggregate).rank(QUERY, IDS)), expected)


@pytest.mark.parametrize(("method", "family"), [("prettr", "bert"), ("cross_encoder", "electra"), ("deformer", "distilbert")])
def test_the_mean_of_cls_rows_is_classified_once(method, family):
    model = engine.model(method, family)
    found = engine.scores(Ranker(model, chunks=CHUNKS, aggregate="mean_cls").rank(QUERY, documents=LONG))
    state, expected = model.query(QUERY), {}
    for document in LONG:
        pieces = cut(CHUNKS, model, [document]).documents
        rows = []
        for tokens in model.document_tokens(pieces):  # each chunk alone: the head, then the classifier
            with torch.inference_mode():
                tensors = model.encode_batch([tokens])
                docs = Candidates(**{name: values for name, (values, _) in tensors.items()})
                rows.append(model.head.cls(state, docs))
        with torch.inference_mode():
            mean = torch.cat(rows).mean(dim=0)
            expected[document.id] = float(model.backbone.classify(mean[None, None], None)[0, 0])
    assert engine.close(found, expected)
    averaged = {doc_id: float(np.mean(own)) for doc_id, own in chunk_scores(model).items()}
    assert not engine.close(found, averaged), "between the CLS row and the logit lies a function that is not linear"


def test_the_mean_of_cls_rows_is_the_mean_of_scores_where_the_classifier_is_linear():
    model = engine.fresh_model()
    pooler = model.backbone.bare.pooler
    pooler.activation = torch.nn.Identity()
    found = engine.scores(Ranker(model, chunks=CHUNKS, aggregate="mean_cls").rank(QUERY, documents=LONG))
    assert engine.close(found, {doc_id: float(np.mean(own)) for doc_id, own in chunk_scores(model).items()})


def test_pairs_are_cut_as_documents_are(store):
    ranker = Ranker(engine.model(), chunks=CHUNKS)
    texts = [document.text for document in LONG]
    logits = ranker.logits([(QUERY, text) for text in texts])
    ranked = engine.scores(ranker.rank(QUERY, documents=texts))
    assert engine.close({str(place): float(score) for place, score in enumerate(logits)}, ranked)
    assert ranker.rank_texts(QUERY, texts, top_k=1)[0]["corpus_id"] == int(logits.argmax())


def test_ids_of_documents_go_in_and_out_whatever_they_look_like(tmp_path):
    documents = [Document(doc_id, d.text) for doc_id, d in zip(["a", "a#0", "a#0#1", "a#1", "#", "0"], LONG[:6], strict=True)]
    model = engine.model()
    with build_store(model, documents, tmp_path / "s", chunks=CHUNKS) as built:
        found = engine.scores(Ranker(model, built).rank(QUERY, [document.id for document in documents]))
    assert engine.close(found, engine.scores(Ranker(model, chunks=CHUNKS).rank(QUERY, documents=documents)))


def test_missing_documents_are_an_error_or_skipped_or_encoded(store):
    model, new = engine.model(), Document("new", "yeast and flour " * 20)
    ranker = Ranker(model, store)
    for absent in ("new", "D1#0", "D1#1"):
        with pytest.raises(MissingDocument, match=f"1 of the candidates are not in .*'{absent}'"):
            ranker.rank(QUERY, ["D1", absent])
    assert engine.order(ranker.rank(QUERY, ["D1", "new"], missing="skip")) == ["D1"]
    assert ranker.rank(QUERY, ["new"], missing="skip").hits == ranker.rank(QUERY, []).hits == ()
    mixed = engine.scores(ranker.rank(QUERY, [*IDS, "new"], missing="encode", documents=[new]))
    assert engine.close(mixed, engine.scores(Ranker(model, chunks=CHUNKS).rank(QUERY, documents=[*LONG, new])))
    for bad in ("", 7):
        with pytest.raises(InputError, match="expected str"):
            ranker.rank(QUERY, ["D1", bad])


def test_reading_how_many_chunks_there_are_is_part_of_the_timing(store):
    timing = Ranker(engine.model(), store).rank(QUERIES[1], IDS[:3]).timing
    sizes, counted = store.sizes(IDS[:3])
    states = store.fetch(store.entry_ids(sizes), arrays=("states",)).bytes_read
    assert timing.bytes_read == counted + states and counted < states / 10 and timing.fetch_ms > 0


def test_what_does_not_go_together_is_refused(tmp_path, store):
    model = engine.model()
    for text in ("mean", "mean_top", "mean_top:0", "mean_top:x", "max:2", "first:", "", "mean_top:²"):
        with pytest.raises(InputError, match="expected 'max', 'first', 'mean_top:K'"):
            Aggregate.parse(text)
    with pytest.raises(InputError, match="aggregate='max' needs chunks"):
        Ranker(model, aggregate="max")
    with pytest.raises(StoreMismatch, match="holds chunks 20/6, not chunks 20/5"):
        Ranker(model, store, chunks=Chunks(20, 5))
    assert Ranker(model, store, chunks=CHUNKS).chunks == CHUNKS
    with engine.store(tmp_path) as whole:
        with pytest.raises(StoreMismatch, match="holds whole documents, not chunks 20/6"):
            Ranker(model, whole, chunks=CHUNKS)
        with pytest.raises(InputError, match="documents are ranked whole"):
            Ranker(model, whole, aggregate="first")
    for name in ("colbert", "cosine"):
        other = engine.model(name)
        with pytest.raises(InputError, match=f"head '{other.method.head.name}' of .* has none"):
            Ranker(other, chunks=CHUNKS, aggregate="mean_cls")


@pytest.mark.parametrize("aggregate", ["max", "mean_cls"])
def test_a_chunk_score_that_is_no_number_is_never_returned(aggregate):
    spoilt = engine.fresh_model()
    with torch.no_grad():
        spoilt.backbone.model.classifier.bias.fill_(float("nan"))
    with pytest.raises(ModelError, match="the score nan"):
        Ranker(spoilt, chunks=CHUNKS, aggregate=aggregate).rank(QUERY, documents=LONG[:3])


def test_aggregates_by_hand():
    scores = np.array([1, 5, 3, -2, -4, -1, 7], dtype=np.float32)
    by_hand = {"max": [5, -1, 7], "first": [1, -2, 7], "mean_top:2": [4, -1.5, 7], "mean_top:9": [3, -7 / 3, 7]}
    for text, expected in by_hand.items():
        assert Aggregate.parse(text)(scores, [3, 3, 1]) == pytest.approx(expected)
    assert Aggregate.parse("mean_top:4")(scores, [1] * 7) == scores.tolist()
    assert Aggregate.parse("max")(scores[:0], []) == []
