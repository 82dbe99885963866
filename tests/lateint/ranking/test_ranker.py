"""Ranking with and without a store, alone and in batches, in any order, from many threads; and rejected input."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from lateint.errors import InputError, MissingDocument, ModelError
from lateint.indexing.build import build_store
from lateint.indexing.codecs import pipelines, round_trip
from lateint.model.document import Document
from lateint.ranking.ranker import Ranker
from lateint.ranking.scoring import score_all
from tests.support import engine
from tests.support.engine import DOCUMENTS, IDS, METHODS, QUERIES, QUERY

FAMILIES = ["modernbert", "roberta", "distilbert", "electra", "xlm-roberta"]
CASES = [*((method, "bert") for method in METHODS), *(("prettr", family) for family in FAMILIES)]
EVERYWHERE = [(method, family) for method in METHODS for family in ("bert", *FAMILIES)]


@pytest.fixture(scope="module")
def ranker(tmp_path_factory):
    with engine.store(tmp_path_factory.mktemp("prettr")) as store:
        yield Ranker(engine.model(), store)


@pytest.mark.parametrize(("method", "family"), EVERYWHERE)
def test_a_stored_document_scores_as_an_unstored_one_bit_for_bit(tmp_path, method, family):
    model, documents = engine.model(method, family), DOCUMENTS[:4]
    with engine.store(tmp_path, method, family, documents, window=1) as store:
        stored, plain = Ranker(model, store), Ranker(model)
        found = [stored.rank(QUERY, [document.id])[0].score for document in documents]
        assert found == [plain.rank(QUERY, documents=[document])[0].score for document in documents]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "cross_encoder"])
def test_a_lossy_codec_gives_the_same_score_with_and_without_a_store(tmp_path, method):
    documents = DOCUMENTS[:6]
    model = engine.model(method)
    codecs = {name: (engine.part("int8"),) for name in model.arrays if name != "token_ids"}
    with engine.store(tmp_path, method, documents=documents, window=1, codecs=codecs) as store:
        ranker, exact = Ranker(model, store), Ranker(model)
        stored = [ranker.rank(QUERY, [document.id])[0].score for document in documents]
        assert stored == [ranker.rank(QUERY, documents=[document])[0].score for document in documents]
        assert stored != [exact.rank(QUERY, documents=[document])[0].score for document in documents]


@pytest.mark.parametrize(("method", "family"), CASES)
def test_company_and_batch_shape_do_not_move_a_score(tmp_path, method, family):
    model = engine.model(method, family)
    with engine.store(tmp_path, method, family) as store:
        stored, plain = Ranker(model, store), Ranker(model)
        together = engine.scores(stored.rank(QUERY, IDS))
        assert engine.close(together, engine.scores(plain.rank(QUERY, documents=DOCUMENTS)))
        assert engine.close(together, {i: stored.rank(QUERY, [i])[0].score for i in IDS})


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("method", METHODS)
def test_other_precisions_rank_nearly_alike_with_and_without_a_store(tmp_path, method, dtype):
    model = engine.model(method, dtype=dtype)
    exact = engine.scores(Ranker(engine.model(method)).rank(QUERY, documents=DOCUMENTS))
    with build_store(model, DOCUMENTS, tmp_path / "store") as store:
        stored = engine.scores(Ranker(model, store).rank(QUERY, IDS))
    spread = max(exact.values()) - min(exact.values())
    assert max(abs(stored[i] - exact[i]) for i in IDS) < {"float16": 0.02, "bfloat16": 0.15, "float64": 1e-5}[dtype] * spread


def test_the_budget_of_a_batch_does_not_move_a_score(ranker):
    model = ranker.model
    entries = model.encode(model.document_tokens(DOCUMENTS))
    arrays = round_trip(entries, dict(ranker.store.manifest.specs))
    whole = score_all(model, model.query(QUERY), arrays)
    for budget in (1, 60, 200):
        parts = score_all(model, model.query(QUERY), arrays, budget)
        assert abs(parts - whole).max() <= 1e-5 * max(1.0, float(whole.max() - whole.min()))


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_a_subset_is_the_restriction_of_the_whole_order(tmp_path, method):
    with engine.store(tmp_path, method) as store:
        ranker, chance = Ranker(engine.model(method), store), random.Random(5)
        for query in QUERIES[:3]:
            whole = engine.order(ranker.rank(query, IDS))
            for size in (1, 2, 7, 23):
                subset = chance.sample(IDS, size)
                assert engine.order(ranker.rank(query, subset)) == [i for i in whole if i in subset]


def test_neither_the_order_of_candidates_nor_of_documents_in_the_store_matters(tmp_path, ranker):
    expected = ranker.rank(QUERY, IDS)
    shuffled = random.Random(1).sample(IDS, len(IDS))
    assert engine.order(ranker.rank(QUERY, shuffled)) == engine.order(expected)
    with engine.store(tmp_path, documents=DOCUMENTS[::-1], window=7) as store:
        turned = Ranker(ranker.model, store).rank(QUERY, IDS)
    assert engine.close(engine.scores(turned), engine.scores(expected))


def test_another_document_in_the_store_changes_no_score(tmp_path, ranker):
    with engine.store(tmp_path) as store:
        store.add([Document("new", "yeast and flour in the oven")], ranker.model)
        grown = Ranker(ranker.model, store).rank(QUERY, IDS)
    assert engine.scores(grown) == engine.scores(ranker.rank(QUERY, IDS))


def test_equal_scores_stand_in_the_order_of_their_ids(tmp_path):
    ids = ["b", "a", "10", "9", "é", "Z"]
    constant = engine.fresh_model()
    with torch.no_grad():
        constant.backbone.model.classifier.weight.zero_()
    with engine.store(tmp_path, documents=[Document(i, DOCUMENTS[at].text) for at, i in enumerate(ids)]) as store:
        ranker = Ranker(constant, store)
        for given in (ids, ids[::-1]):
            ranking = ranker.rank(QUERY, given)
            assert engine.order(ranking) == sorted(ids) and len(set(engine.scores(ranking).values())) == 1
        assert engine.order(ranker.rank(QUERY, ids, top_k=2)) == ["10", "9"]
    tied = ranker.rank_texts(QUERY, [document.text for document in DOCUMENTS])
    assert [hit["corpus_id"] for hit in tied] == list(range(len(DOCUMENTS)))


def test_sixteen_threads_get_exactly_the_serial_results(ranker, monkeypatch):
    chance = random.Random(3)
    calls = [(query, tuple(chance.sample(IDS, 4))) for query in QUERIES for _ in range(4)]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        serial = [ranker.rank(*call).hits for call in calls]
        picked = chance.choices(range(len(calls)), k=2_000)
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda at: ranker.rank(*calls[at]).hits, picked))
    finally:
        torch.set_num_threads(before)
    assert all(hits == serial[at] for hits, at in zip(found, picked, strict=True))
    assert len({hits for hits in serial}) == len(calls)


def test_top_k_keeps_the_best(ranker):
    whole = ranker.rank(QUERY, IDS)
    for k in (1, 5, 40, 99):
        assert ranker.rank(QUERY, IDS, top_k=k).hits == whole.hits[:k]


def test_missing_candidates_are_an_error_or_skipped_or_encoded(ranker):
    extra = Document("x1", "flour and salt and water")
    with pytest.raises(MissingDocument, match="'x1'"):
        ranker.rank(QUERY, [*IDS[:3], "x1"])
    skipped = ranker.rank(QUERY, [IDS[0], "x1", *IDS[1:3]], missing="skip")
    assert engine.order(skipped) == engine.order(ranker.rank(QUERY, IDS[:3]))
    encoded = ranker.rank(QUERY, [*IDS[:3], "x1"], missing="encode", documents=[extra])
    alone = ranker.rank(QUERY, documents=[extra])[0]
    assert engine.scores(encoded)["x1"] == pytest.approx(alone.score, abs=1e-5) and len(encoded) == 4
    with pytest.raises(MissingDocument, match="texts of \\['x1'\\]"):
        ranker.rank(QUERY, ["x1"], missing="encode")
    with pytest.raises(InputError, match="'error', 'skip' or 'encode'"):
        ranker.rank(QUERY, [], missing="ignore")


def test_stored_and_encoded_candidates_rank_together_as_if_all_were_stored(tmp_path, ranker):
    with engine.store(tmp_path, documents=DOCUMENTS[:20]) as store:
        mixed = Ranker(ranker.model, store).rank(QUERY, IDS, missing="encode", documents=DOCUMENTS)
    assert engine.close(engine.scores(mixed), engine.scores(ranker.rank(QUERY, IDS)))


@pytest.mark.parametrize("query", ["", "   ", "\n\t "])
@pytest.mark.parametrize("method", ["prettr", "colbert", "cosine", "cross_encoder"])
def test_a_query_without_a_token_is_refused(method, query):
    with pytest.raises(InputError, match="holds no token"):
        Ranker(engine.model(method)).rank(query, documents=["bread"])


def test_requests_that_cannot_be_meant_are_refused(ranker):
    with pytest.raises(InputError, match="'d01' is given twice"):
        ranker.rank(QUERY, ["d01", "d02", "d01"])
    for k in (0, -1):
        with pytest.raises(InputError, match=f"top_k={k}"):
            ranker.rank(QUERY, IDS, top_k=k)
    with pytest.raises(InputError, match="no candidates"):
        ranker.rank(QUERY)
    with pytest.raises(InputError, match="need a store"):
        Ranker(ranker.model).rank(QUERY, ["d01"])
    with pytest.raises(InputError, match="surrogate"):
        ranker.rank("bread \ud800", IDS)


def test_no_candidates_give_an_empty_ranking(ranker):
    for ranking in (ranker.rank(QUERY, []), ranker.rank(QUERY, documents=[])):
        assert len(ranking) == 0 and list(ranking) == [] and ranking.timing.candidates == 0
    assert ranker.rank(QUERY, ["none"], missing="skip").hits == ()
    assert ranker.logits([]).shape == (0,)


def test_timing_says_where_the_time_went_and_what_was_read(ranker):
    one, all_of_them = ranker.rank(QUERY, IDS[:1]).timing, ranker.rank(QUERY, IDS).timing
    parts = all_of_them.fetch_ms + all_of_them.decode_ms + all_of_them.encode_ms + all_of_them.compute_ms
    assert 0 < parts <= all_of_them.total_ms and min(all_of_them.fetch_ms, all_of_them.decode_ms) > 0
    assert all_of_them.encode_ms == 0 and all_of_them.head == "joint_layers" and all_of_them.candidates == 40
    assert 0 < one.bytes_read < all_of_them.bytes_read
    texts = ranker.rank(QUERY, documents=DOCUMENTS).timing
    assert texts.encode_ms > 0 and texts.bytes_read == 0 and texts.fetch_ms == 0


def test_token_ids_of_a_large_vocabulary_are_stored_whole(tmp_path, monkeypatch):
    model = engine.fresh_model("cross_encoder")
    monkeypatch.setattr(model.backbone.config, "vocab_size", 70_000)
    model.method = engine.preset("cross_encoder")
    pipeline = pipelines(model)["token_ids"]
    ids = np.array([5, 69_999], dtype=np.int64)
    assert pipeline.decode(pipeline.encode(ids), 2).tolist() == ids.tolist()
    with pytest.raises(InputError, match="does not fit in uint16"):
        pipelines(engine.fresh_model("cross_encoder"), dict(model.method.codecs))["token_ids"].encode(ids)


def test_only_the_arrays_that_the_head_reads_are_fetched(tmp_path):
    rich = engine.fresh_model(engine.replace(engine.preset("prettr"), vector=engine.part("mean")))
    with engine.store(tmp_path) as plain, build_store(rich, DOCUMENTS, tmp_path / "rich") as store:
        assert rich.arrays == ("states", "vector")
        found, expected = Ranker(rich, store).rank(QUERY, IDS), Ranker(engine.model(), plain).rank(QUERY, IDS)
    assert engine.scores(found) == engine.scores(expected)
    assert found.timing.bytes_read - expected.timing.bytes_read < 40 * 32  # less than the vectors, 128 bytes each


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_never_returned(value):
    spoilt = engine.fresh_model()
    with torch.no_grad():
        spoilt.backbone.model.classifier.bias.fill_(value)
    ranker = Ranker(spoilt)
    for call in (
        lambda: ranker.rank(QUERY, documents=DOCUMENTS),
        lambda: ranker.logits([(QUERY, "bread")]),
        lambda: ranker.predict((QUERY, "bread")),
        lambda: ranker.rank_texts(QUERY, ["bread"]),
    ):
        with pytest.raises(ModelError, match=r"the score (nan|inf)"):
            call()
