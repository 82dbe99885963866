"""The scores of the service are those of `Ranker.rank`, bit for bit, and its order is that of the logits."""

import numpy as np
import pytest

from lateint.model.document import Document
from lateint.ranking.ranker import Ranker
from tests.support.engine import DOCUMENTS, IDS, QUERIES, QUERY, scores
from tests.support.serving import SHAPES, ask, scored

TEXTS = ["bread and yeast", "a wheel of stone", "rain on the river", "bread in the oven"]


def by_id(ids):
    return [{"id": doc_id} for doc_id in ids]


def body(documents, **fields):
    return {"query": QUERY, "documents": documents, "raw_scores": True, **fields}


@pytest.mark.parametrize("path", SHAPES)
def test_ids_are_scored_as_the_ranker_scores_them(engine, path):
    sent = {"query": QUERY, SHAPES[path]: by_id(IDS), "raw_scores": True}
    expected = engine.ranker.rank(QUERY, IDS)
    found = scored(ask(engine, sent, path=path))
    assert [(IDS[index], score) for index, score in found] == [(hit.doc_id, hit.score) for hit in expected]


@pytest.mark.parametrize("path", SHAPES)
def test_texts_are_scored_as_the_ranker_scores_them(engine, path):
    sent = {"query": QUERY, SHAPES[path]: TEXTS, "raw_scores": True}
    expected = engine.ranker.rank(QUERY, documents=TEXTS)
    assert scored(ask(engine, sent, path=path)) == [(int(hit.doc_id), hit.score) for hit in expected]


def test_ids_and_texts_are_ranked_in_one_list(engine):
    mixed = [{"id": IDS[3]}, TEXTS[0], {"id": IDS[7], "text": "ignored"}, {"id": "new", "text": TEXTS[1]}, {"text": TEXTS[2]}]
    given = [Document("t1", TEXTS[0]), Document("new", TEXTS[1]), Document("t4", TEXTS[2])]
    names = [IDS[3], "t1", IDS[7], "new", "t4"]
    expected = scores(engine.ranker.rank(QUERY, names, documents=given, missing="encode"))
    response = ask(engine, body(mixed))
    found = scored(response)
    assert {names[index]: score for index, score in found} == expected
    assert [score for _, score in found] == sorted(expected.values(), reverse=True)
    usage = response.json()["usage"]
    assert (usage["cached_documents"], usage["encoded_documents"], usage["reused_documents"]) == (2, 3, 0)


def test_every_input_has_a_result_of_its_own(engine):
    mixed = [{"id": IDS[1]}, TEXTS[0], {"id": IDS[1]}, TEXTS[0], {"id": IDS[1], "text": "x"}]
    found = dict(scored(ask(engine, body(mixed))))
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert found[0] == found[2] == found[4] and found[1] == found[3] != found[0]


def test_chunked_documents_are_one_result_each(tmp_path):
    from lateint.indexing.build import build_store
    from lateint.serving.engine import make_engine
    from lateint.serving.options import ServeOptions
    from tests.support.engine import CHUNKS, LONG, model

    with build_store(model(), LONG, tmp_path / "store", chunks=CHUNKS) as store:
        engine = make_engine(model(), store, ServeOptions(store=str(store.path), aggregate="mean_top:2"))
        ranker = Ranker(model(), store, aggregate="mean_top:2")
        ids, texts = [document.id for document in LONG], [document.text for document in LONG[:4]]
        found = [scored(response) for response in ask(engine, body(by_id(ids)), body(texts))]
        assert {ids[index]: score for index, score in found[0]} == scores(ranker.rank(QUERY, ids))
        assert {str(index): score for index, score in found[1]} == scores(ranker.rank(QUERY, documents=texts))


def test_the_sigmoid_is_sent_unless_raw_scores_are_asked_for(engine):
    raw = dict(scored(ask(engine, body(by_id(IDS)))))
    sent = dict(scored(ask(engine, {"query": QUERY, "documents": by_id(IDS)})))
    expected = {index: 1 / (1 + np.exp(-np.float64(score))) for index, score in raw.items()}
    assert sent == pytest.approx(expected, abs=1e-15)
    assert list(sent) == list(raw), "the order is that of the logits"


def test_a_recorded_sigmoid_is_the_one_that_is_sent(engine, monkeypatch):
    from lateint.model.activation import Sigmoid

    monkeypatch.setattr(engine.model, "activation", Sigmoid(0.25, -1.0))
    sent = dict(scored(ask(engine, {"query": QUERY, "documents": TEXTS})))
    expected = engine.ranker.predict([(QUERY, text) for text in TEXTS])
    assert np.array_equal(np.float32([sent[index] for index in range(len(TEXTS))]), expected)


def test_logits_that_the_sigmoid_cannot_tell_apart_keep_their_order(engine):
    logits = [40.0, 39.0, -800.0, 41.0]
    assert engine.scores(logits) == pytest.approx([1.0, 1.0, 0.0, 1.0])
    assert engine.scores([17.0, 16.9])[0] > engine.scores([17.0, 16.9])[1]


def test_top_n_keeps_the_best_and_zero_keeps_all(engine):
    every = scored(ask(engine, body(by_id(IDS))))
    found = [scored(response) for response in ask(engine, *(body(by_id(IDS), top_n=n) for n in (3, 0, None, 10**30)))]
    assert found == [every[:3], every, every, every]


def test_a_ladder_and_a_budget_are_those_of_the_ranker(engine):
    response = ask(engine, body(by_id(IDS), ladder="cosine:5"))
    expected = engine.ranker.rank(QUERY, IDS, ladder="cosine:5")
    assert [(IDS[index], score) for index, score in scored(response)] == [(hit.doc_id, hit.score) for hit in expected]
    assert [(rung["head"], rung["candidates"]) for rung in response.json()["rungs"]] == [("cosine", 40), ("joint_layers", 5)]
    whole, none = ask(engine, body(by_id(IDS), budget_ms=60_000), body(by_id(IDS), budget_ms=1e-6))
    assert dict(scored(whole)) == {IDS.index(hit.doc_id): hit.score for hit in engine.ranker.rank(QUERY, IDS)}
    assert "partial" not in whole.json() and none.json()["partial"], "no head scored within the budget"


def test_texts_beside_a_ladder_are_ranked_with_what_reached_the_last_head(engine):
    ladder = engine.ranker.rank(QUERY, IDS, ladder="cosine:5")
    texts = scores(engine.ranker.rank(QUERY, documents=TEXTS))
    found = scored(ask(engine, body([*by_id(IDS), *TEXTS], ladder="cosine:5")))
    best = [(IDS.index(hit.doc_id), hit.score) for hit in ladder[:5]] + [(40 + int(i), score) for i, score in texts.items()]
    assert found[:9] == sorted(best, key=lambda pair: -pair[1])
    assert [index for index, _ in found[9:]] == [IDS.index(hit.doc_id) for hit in ladder[5:]]
    assert found[9][1] < found[8][1]


def test_many_queries_at_once_agree_with_the_ranker(engine):
    import asyncio

    from tests.support.serving import serving

    async def run():
        async with serving(engine, latency_ms=1 << 30) as here:  # never less deep, however slow the machine is
            sent = [here.client.post("/v2/rerank", json=body(by_id(IDS)) | {"query": query}) for query in QUERIES * 3]
            return await asyncio.gather(*sent)

    for query, response in zip(QUERIES * 3, asyncio.run(run()), strict=True):
        expected = scores(engine.ranker.rank(query, IDS))
        found = {IDS[index]: score for index, score in scored(response)}
        assert max(abs(found[doc_id] - expected[doc_id]) for doc_id in IDS) < 1e-5 * max(1, np.ptp(list(expected.values())))


def test_an_explanation_comes_with_the_best_results(tmp_path):
    from lateint.indexing.build import build_store
    from lateint.serving.engine import make_engine
    from lateint.serving.options import ServeOptions
    from tests.support.engine import model

    colbert = model("colbert")
    with build_store(colbert, DOCUMENTS[:12], tmp_path / "store") as store:
        engine = make_engine(colbert, store, ServeOptions(store=str(store.path)))
        sent = [*by_id(IDS[:12]), TEXTS[0]]
        response = ask(engine, body(sent, explain=True))
        results = response.json()["results"]
        assert [("explanation" in result and bool(result["explanation"])) for result in results] == [True] * 10 + [False] * 3
        for result in results[:10]:
            whole = result["explanation"]
            shares = sum(match["share"] for match in whole["matches"]) + sum(whole["parts"].values())
            assert whole["score"] == pytest.approx(shares, abs=1e-4)
            # One document is explained, thirteen were ranked: another batch, which may round its sums differently.
            assert whole["score"] == pytest.approx(result["relevance_score"], abs=1e-5 * max(1, abs(whole["score"])))
