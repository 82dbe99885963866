"""Cascades: each model re-ranks the best of the one before, over its own store or over texts."""

from itertools import pairwise

import pytest

import lateint
from lateint.errors import InputError, MissingDocument
from lateint.ranking.cascade import Cascade
from lateint.ranking.ranker import Ranker
from tests.support import engine
from tests.support.engine import DOCUMENTS, IDS, QUERY, order, scores


@pytest.fixture(scope="module")
def cheap(tmp_path_factory):
    with engine.store(tmp_path_factory.mktemp("cheap"), "cosine") as store:
        yield Ranker(engine.model("cosine"), store)


@pytest.fixture(scope="module")
def dear(tmp_path_factory):
    with engine.store(tmp_path_factory.mktemp("dear"), "cross_encoder") as store:
        yield Ranker(engine.model("cross_encoder"), store)


def test_it_is_its_first_ranking_with_the_best_ranked_again(cheap, dear):
    first = cheap.rank(QUERY, IDS)
    again = dear.rank(QUERY, order(first)[:10])
    found = Cascade(cheap, (dear, 10)).rank(QUERY, IDS)
    assert order(found) == [*order(again), *order(first)[10:]] != order(first)
    assert [hit.score for hit in found][:10] == [hit.score for hit in again]
    assert all(a.score >= b.score for a, b in pairwise(found)) and found[9].score > found[10].score


def test_at_full_depth_it_is_its_last_ranker_alone_and_at_none_its_first(cheap, dear):
    assert scores(Cascade(cheap, (dear, 40)).rank(QUERY, IDS)) == pytest.approx(scores(dear.rank(QUERY, IDS)), abs=1e-5)
    assert list(Cascade(cheap).rank(QUERY, IDS)) == list(cheap.rank(QUERY, IDS))


def test_three_rankers_pass_on_less_and_less(cheap, dear):
    found = Cascade(cheap, (dear, 20), (cheap, 5)).rank(QUERY, IDS, top_k=30)
    second = Cascade(cheap, (dear, 20)).rank(QUERY, IDS)
    assert len(found) == 30 and order(found)[5:] == order(second)[5:30]
    assert order(found)[:5] == order(cheap.rank(QUERY, order(second)[:5]))
    rungs = [(rung.head, rung.candidates) for rung in found.timing.rungs]
    assert rungs == [("cosine", 40), ("joint_layers", 20), ("cosine", 5)]
    assert (found.timing.head, found.timing.candidates) == ("cosine", 40)
    assert found.timing.total_ms > sum(rung.ms for rung in found.timing.rungs)
    assert found.timing.bytes_read > second.timing.bytes_read > 0


def test_a_ranker_without_a_store_reads_texts(cheap, dear):
    texts = Cascade(cheap, (Ranker(dear.model), 10)).rank(QUERY, IDS, documents=DOCUMENTS)
    assert scores(texts) == pytest.approx(scores(Cascade(cheap, (dear, 10)).rank(QUERY, IDS)), abs=1e-4)
    assert texts.timing.encode_ms > 0
    unstored = Cascade(Ranker(cheap.model), (dear, 10)).rank(QUERY, documents=DOCUMENTS)
    assert scores(unstored) == pytest.approx(scores(texts), abs=1e-4)
    with pytest.raises(MissingDocument, match="10 candidates without a text"):
        Cascade(cheap, (Ranker(dear.model), 10)).rank(QUERY, IDS)


def test_texts_for_a_later_ranker_leave_the_first_its_ladder(cheap, dear):
    found = Cascade(cheap, (Ranker(dear.model), 10)).rank(QUERY, IDS, documents=DOCUMENTS, ladder=[])
    assert scores(found) == pytest.approx(scores(Cascade(cheap, (dear, 10)).rank(QUERY, IDS)), abs=1e-4)
    with pytest.raises(InputError, match="leave documents= out"):
        Cascade(cheap, (dear, 10)).rank(QUERY, IDS, documents=DOCUMENTS, missing="encode", ladder=[])


def test_what_a_later_store_lacks_stands_behind_what_it_ranked(cheap, tmp_path):
    best = order(cheap.rank(QUERY, IDS))
    with engine.store(tmp_path, "cross_encoder", documents=[d for d in DOCUMENTS if d.id != best[1]]) as store:
        partial = Ranker(engine.model("cross_encoder"), store)
        cascade = Cascade(cheap, (partial, 4))
        found = order(cascade.rank(QUERY, IDS, missing="skip"))
        with pytest.raises(MissingDocument, match=best[1]):
            cascade.rank(QUERY, IDS)
        encoded = order(cascade.rank(QUERY, IDS, documents=DOCUMENTS, missing="encode"))
    assert set(found[:3]) == {best[0], best[2], best[3]} and found[3:] == best[1:2] + best[4:]
    assert set(encoded[:4]) == set(best[:4])


def test_the_first_ranker_takes_a_ladder_and_a_budget(cheap, dear):
    cascade = Cascade(cheap, (dear, 3))
    assert "cosine" in cascade.warm_up(QUERY, IDS)
    poor = cascade.rank(QUERY, IDS, budget_ms=1e-9)  # the first ranker scores nothing and keeps the given order
    assert order(poor)[3:] == IDS[3:] and set(order(poor)[:3]) == set(IDS[:3])
    with pytest.raises(InputError, match="no rung"):
        cascade.rank(QUERY, IDS, ladder="maxsim:3")


@pytest.mark.parametrize("depths", [(0,), (True,), (1.5,), (3, 4)])
def test_depths_that_cannot_be_are_refused(cheap, dear, depths):
    with pytest.raises(InputError, match="a cascade of depths"):
        Cascade(cheap, *((dear, depth) for depth in depths))


def test_it_is_a_public_name():
    assert lateint.Cascade is Cascade
