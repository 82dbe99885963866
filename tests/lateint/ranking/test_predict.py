"""`logits`, `predict` and `rank_texts` against sentence-transformers' CrossEncoder on the same checkpoint."""

import numpy as np
import pytest
import torch

from lateint.errors import InputError
from lateint.ranking.ranker import Ranker
from lateint.testing import tiny
from tests.support import engine
from tests.support.engine import DOCUMENTS, QUERIES, QUERY

TEXTS = [document.text for document in DOCUMENTS]
PAIRS = [(query, text) for query in QUERIES[:4] for text in TEXTS[:10]]


@pytest.fixture(scope="module", params=["bert", "roberta", "modernbert"])
def both(request):
    from sentence_transformers import CrossEncoder

    theirs = CrossEncoder(str(tiny.checkpoint(request.param)), device="cpu", max_length=96)
    return Ranker(engine.model("cross_encoder", request.param)), theirs


def test_logits_are_those_of_the_cross_encoder(both):
    ours, theirs = both
    wanted = theirs.predict(PAIRS, activation_fn=torch.nn.Identity())
    found = ours.logits(PAIRS)
    assert found.dtype == np.float32 and found.shape == wanted.shape == (len(PAIRS),)
    assert abs(found - wanted).max() <= 1e-5 * max(1.0, float(np.ptp(wanted)))
    assert np.ptp(wanted) > 0.1


def test_predict_is_a_sigmoid_unless_told_otherwise(both):
    ours, theirs = both
    wanted, found = theirs.predict(PAIRS), ours.predict(PAIRS)
    assert type(found) is type(wanted) and found.dtype == wanted.dtype and abs(found - wanted).max() < 1e-5
    assert np.array_equal(ours.predict(PAIRS, activation_fn=torch.nn.Identity()), ours.logits(PAIRS))
    assert np.array_equal(ours.predict(PAIRS, activation_fn=torch.tanh), np.tanh(ours.logits(PAIRS))) or np.allclose(
        ours.predict(PAIRS, activation_fn=torch.tanh), np.tanh(ours.logits(PAIRS)), atol=1e-6
    )


def test_a_single_pair_gives_a_single_number(both):
    ours, theirs = both
    for pair in (PAIRS[0], list(PAIRS[0])):
        wanted, found = theirs.predict(pair), ours.predict(pair)
        assert np.ndim(found) == np.ndim(wanted) == 0 and abs(found - wanted) < 1e-5
    assert ours.predict(PAIRS[:2]).shape == (2,) and ours.predict([PAIRS[0]]).shape == (1,)
    assert len(ours.predict([])) == len(theirs.predict([])) == 0


@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"return_documents": True}])
def test_rank_texts_has_the_shape_and_the_order_of_their_rank(both, options):
    ours, theirs = both
    wanted, found = theirs.rank(QUERY, TEXTS, **options), ours.rank_texts(QUERY, TEXTS, **options)
    assert [set(hit) for hit in found] == [set(hit) for hit in wanted]
    assert [hit["corpus_id"] for hit in found] == [hit["corpus_id"] for hit in wanted]
    assert all(abs(ours["score"] - theirs["score"]) < 1e-5 for ours, theirs in zip(found, wanted, strict=True))
    assert [hit.get("text") for hit in found] == [hit.get("text") for hit in wanted]


def test_pairs_may_come_in_any_order_and_number():
    ranker = Ranker(engine.model("cross_encoder"))
    whole = ranker.logits(PAIRS)
    turned = ranker.logits(PAIRS[::-1])[::-1]
    assert abs(whole - turned).max() < 1e-5
    assert abs(ranker.logits(PAIRS * 2)[len(PAIRS) :] - whole).max() < 1e-5
    assert np.array_equal(ranker.predict(PAIRS, batch_size=1), ranker.predict(PAIRS, batch_size=64))


@pytest.mark.parametrize("batch_size", [0, -3])
def test_a_batch_size_below_one_is_refused(batch_size):
    with pytest.raises(InputError, match="batch_size"):
        Ranker(engine.model("cross_encoder")).predict(PAIRS, batch_size=batch_size)


@pytest.mark.parametrize("method", engine.METHODS)
def test_every_method_scores_pairs_as_it_ranks(method):
    ranker = Ranker(engine.model(method))
    ranked = {hit.doc_id: hit.score for hit in ranker.rank(QUERY, documents=TEXTS)}
    logits = ranker.logits([(QUERY, text) for text in TEXTS])
    assert engine.close({str(place): float(score) for place, score in enumerate(logits)}, ranked)


DISTINCT = [(f"{query} {word}", text) for (query, text), word in zip(PAIRS, tiny.WORDS * 2, strict=False)]


@pytest.mark.parametrize(("method", "family"), [*((name, "bert") for name in engine.METHODS), ("prettr", "modernbert")])
def test_queries_together_are_as_each_alone(method, family, monkeypatch):
    model = engine.model(method, family)
    texts = [*QUERIES, *QUERIES[:2], *(query for query, _ in DISTINCT)]
    monkeypatch.setattr("lateint.model.model.QUERIES_AT_ONCE", 7)
    for text, found in zip(texts, model.queries(texts), strict=True):
        alone = model.query(text)
        assert found.rows.mask is None and found.rows.states.shape == alone.rows.states.shape
        assert torch.equal(found.rows.positions, alone.rows.positions) and torch.equal(found.text_mask, alone.text_mask)
        assert (found.rows.states - alone.rows.states).abs().max() < 1e-5
        assert (found.vector is None) == (alone.vector is None)
        assert found.vector is None or (found.vector - alone.vector).abs().max() < 1e-5
    first, last = model.queries(texts[:1] + texts[-1:])
    assert first.rows.states.shape != last.rows.states.shape or not torch.equal(first.rows.states, last.rows.states)
    assert model.queries([]) == []
    with pytest.raises(InputError, match="holds no token"):
        model.queries(["bread", " "])


@pytest.mark.parametrize("method", engine.METHODS)
def test_pairs_score_alike_however_they_are_grouped(method, monkeypatch):
    ranker = Ranker(engine.model(method))
    pairs = [*DISTINCT, *PAIRS, *DISTINCT[::3]]
    expected = np.array([ranker.rank(query, documents=[text])[0].score for query, text in pairs], dtype=np.float32)
    assert abs(ranker.logits(pairs) - expected).max() <= 1e-5 * max(1.0, float(np.ptp(expected)))
    monkeypatch.setattr("lateint.ranking.ranker._TEXTS_AT_ONCE", 3)
    assert abs(ranker.logits(pairs) - expected).max() <= 1e-5 * max(1.0, float(np.ptp(expected)))
    assert abs(ranker.logits(pairs)[::-1] - expected).max() > 1e-2


def test_every_text_is_encoded_once(monkeypatch):
    ranker, rows = Ranker(engine.model()), []
    encode = ranker.model.encode
    monkeypatch.setattr(ranker.model, "encode", lambda some: rows.extend(some) or encode(some))
    ranker.logits([(f"{query} {word}", text) for query, text in PAIRS for word in tiny.WORDS[:3]])
    assert len(rows) == len({text for _, text in PAIRS}) == 10
