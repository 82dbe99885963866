"""Exact search equals a full sort of all scores, for any block size, any other queries, and ties."""

import itertools
import random

import numpy as np
import pytest

import lateint.retrieval.exact
import lateint.retrieval.retriever
import lateint.retrieval.vectors
from lateint.retrieval.exact import Exact
from lateint.retrieval.vectors import Vectors
from tests.support import engine
from tests.support.retrieving import Toy, over, unit, vector, vectors


def oracle(matrix, query, ids, k):
    """Sort all documents by (score, id), with exact sums."""
    exact = (matrix.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    return [ids[place] for place in sorted(range(len(ids)), key=lambda at: (-exact[at], ids[at]))[:k]]


@pytest.mark.parametrize("k", [1, 7, 100, 2_999, 3_000, 5_000])
def test_exact_search_is_a_full_sort(k):
    matrix = unit(3_000, 48)
    held = vectors(matrix)
    retriever = over(held)
    for text in ("3", "77", "2999"):
        found = engine.order(retriever.retrieve(text, k))
        assert found == oracle(matrix, vector(matrix, text), held.ids, k) and len(found) == min(k, 3_000)
        assert found[0] == f"d{int(text):04}"


def test_the_oracle_tells_another_order_apart():
    matrix = unit(3_000, 48)
    spoilt = matrix.copy()
    spoilt[5] = spoilt[77]
    expected = oracle(matrix, vector(matrix, "77"), vectors(matrix).ids, 100)
    assert engine.order(over(vectors(matrix)).retrieve("77", 100)) == expected
    assert engine.order(over(vectors(spoilt), model=Toy(matrix)).retrieve("77", 100)) != expected


def test_equal_vectors_stand_in_the_order_of_their_ids_wherever_they_lie():
    rng = random.Random(4)
    matrix = unit(2_500, 33)
    places = rng.sample(range(2_500), 300)
    matrix[places] = matrix[places[0]]
    names = [f"x{number}" for number in rng.sample(range(10_000), 2_500)]
    tied = sorted(names[place] for place in places)
    retriever = over(vectors(matrix, names))
    for k in (1, 10, 299, 300):
        ranking = retriever.retrieve(str(places[0]), k)
        assert engine.order(ranking) == tied[:k] and len({hit.score for hit in ranking}) == 1
    assert engine.order(retriever.retrieve(str(places[0]), 301))[:300] == tied


def test_neither_blocks_nor_company_move_a_score(monkeypatch):
    matrix = unit(1_000, 40)
    queries = [str(number) for number in range(0, 900, 9)]
    alone = [over(vectors(matrix)).retrieve(text, 50).hits for text in queries]
    for scores, at_once, rows in ((1, 1, 7), (3_000, 64, 1 << 16), (1 << 24, 10, 49)):
        monkeypatch.setattr(lateint.retrieval.exact, "_SCORES_AT_ONCE", scores)
        monkeypatch.setattr(lateint.retrieval.retriever, "_QUERIES_AT_ONCE", at_once)
        monkeypatch.setattr(lateint.retrieval.vectors, "_ROWS_AT_ONCE", rows)
        assert [ranking.hits for ranking in over(vectors(matrix)).retrieve_many(queries, 50)] == alone
    mixed = np.random.default_rng(1).permutation(1_000)
    turned = over(vectors(matrix[mixed], [f"d{place:04}" for place in mixed]), model=Toy(matrix))
    assert turned.retrieve("9", 50).hits == alone[1], "nor does the order of documents"


def test_a_product_that_rounds_otherwise_loses_no_document():
    """More than k candidates are found if scores are closer than the rounding error."""
    matrix = np.repeat(unit(1, 64), 500, axis=0) + np.float32(1e-7) * np.random.default_rng(2).integers(-3, 4, (500, 64))
    matrix = matrix.astype(np.float32)
    query = matrix[0]
    (places,) = Exact(vectors(matrix)).candidates(query[None], 10)
    alone = np.vecdot(matrix, query)
    assert set(np.flatnonzero(alone >= np.sort(alone)[-10])) <= set(places.tolist()) and len(places) > 10
    spread = unit(500, 64)
    (places,) = Exact(vectors(spread)).candidates(spread[:1], 10)
    assert len(places) <= 12, "and hardly more where they do not"


def test_the_best_row_counts_whatever_the_sizes():
    matrix, rng = unit(2_000, 24), np.random.default_rng(8)
    starts = np.array([0, *np.sort(rng.choice(np.arange(1, 2_000), 499, replace=False)), 2_000])
    held = Vectors([f"d{place:04}" for place in range(500)], matrix, starts)
    for text in ("0", "77", "1999"):
        exact = matrix.astype(np.float64) @ vector(matrix, text).astype(np.float64)
        best = [exact[start:end].max() for start, end in itertools.pairwise(starts)]
        order = sorted(range(500), key=lambda at: -best[at])
        found = over(held, model=Toy(matrix)).retrieve(text, 60)
        assert engine.order(found) == [held.ids[at] for at in order[:60]]
