"""Many queries at once rank as one by one; errors name the query, after the rankings before it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from lateint.errors import InputError, MissingDocument
from lateint.heads.inputs import Query
from lateint.ranking.many import rank_many
from lateint.ranking.ranker import Ranker
from tests.support import engine
from tests.support.engine import IDS, QUERIES
from tests.support.retrieving import RICH

ASKED = [(query, IDS[place % 3 :]) for place, query in enumerate(QUERIES * 3)]


@pytest.fixture(scope="module")
def ranker(tmp_path_factory):
    with engine.store(tmp_path_factory.mktemp("many"), RICH) as store:
        yield Ranker(engine.model(RICH), store)


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("ladder", [None, "cosine:4"])
def test_rankings_are_those_of_a_loop(ranker, threads, monkeypatch, ladder):
    monkeypatch.setattr("lateint.ranking.many._QUERIES_AT_ONCE", 5)
    found = list(ranker.rank_many(ASKED, top_k=6, ladder=ladder))
    assert len(found) == len(ASKED) > 5
    for (query, ids), ranking in zip(ASKED, found, strict=True):
        alone = ranker.rank(query, ids, top_k=6, ladder=ladder)
        assert [hit.doc_id for hit in ranking] == [hit.doc_id for hit in alone]
        assert [hit.score for hit in ranking] == pytest.approx([hit.score for hit in alone], abs=1e-5)
        assert ranking.timing.candidates == len(ids) and ranking.timing.total_ms >= ranking.timing.compute_ms > 0
    assert torch.get_num_threads() == threads


def test_encoded_queries_rank_beside_texts(ranker):
    states = ranker.model.queries(QUERIES)
    mixed = [(state if place % 2 else query, IDS) for place, (query, state) in enumerate(zip(QUERIES, states, strict=True))]
    for found, query in zip(ranker.rank_many(mixed), QUERIES, strict=True):
        assert [hit.doc_id for hit in found] == [hit.doc_id for hit in ranker.rank(query, IDS)]


def test_queries_are_encoded_in_batches(ranker, monkeypatch):
    sizes = []
    encode = type(ranker.model).queries
    monkeypatch.setattr(type(ranker.model), "queries", lambda self, texts: sizes.append(len(texts)) or encode(self, texts))
    assert len(list(ranker.rank_many((query, IDS[:2]) for query in QUERIES * 30))) == 30 * len(QUERIES)
    assert sizes[0] == 16 and sum(sizes) == 30 * len(QUERIES)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ((" ", IDS), InputError, "holds no token"),
        ((QUERIES[0], ["no such id"]), MissingDocument, "no such id"),
        ((QUERIES[0], [IDS[0], IDS[0]]), InputError, IDS[0]),
    ],
)
def test_an_error_comes_after_the_rankings_before_it(ranker, threads, wrong, error, message):
    rankings, before = ranker.rank_many([*ASKED[:3], wrong, *ASKED[:2]]), []
    with pytest.raises(error, match=message):
        for ranking in rankings:
            before.append(ranking)
    assert len(before) == 3


def test_absent_documents_are_skipped_if_that_is_asked_for(ranker):
    (found,) = ranker.rank_many([(QUERIES[0], [IDS[0], "no such id"])], missing="skip")
    assert [hit.doc_id for hit in found] == [IDS[0]]


@pytest.mark.parametrize("options", [{"top_k": 0}, {"missing": "encode"}, {"ladder": "nothing"}])
def test_wrong_options_are_refused(ranker, options):
    with pytest.raises(InputError):
        list(ranker.rank_many(ASKED[:1], **options))


def test_no_query_is_no_ranking_and_any_number_may_come(ranker):
    assert list(ranker.rank_many([])) == []
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield QUERIES[0], IDS[:2]

    rankings = ranker.rank_many(endless())
    next(rankings)
    assert len(taken) == 64
    rankings.close()


def test_several_threads_may_rank_many(ranker):
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: [ranking.hits for ranking in ranker.rank_many(ASKED)], range(3)))
    assert found[0] == found[1] == found[2]


def test_a_share_of_the_batch_is_added_to_the_times(ranker):
    def slow(query, doc_ids):
        assert isinstance(query, Query)
        return ranker.rank(query, doc_ids)

    (found,) = rank_many(ranker.model, slow, [(QUERIES[0], IDS)])
    assert found.timing.compute_ms > 0
