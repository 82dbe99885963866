"""Examples: fixed by seed and number, fair to every source, and never a relevant document as a negative."""

from dataclasses import replace

import pytest

from lateint.errors import InputError
from lateint.train.data import Sampler, TextSet
from tests.support import students


def test_the_sampler_takes_turns_by_share_and_never_calls_a_relevant_document_negative():
    one, two = students.source("a"), students.source("b")
    sampler = Sampler([one, two], 5, shares={"a": 2, "b": 1}, seed=3)
    drawn = [sampler.example(i) for i in range(30)]
    assert sum(example.documents[0].id.startswith("a") for example in drawn) == 20
    for example in drawn:
        bundle = one if example.documents[0].id.startswith("a") else two
        query = next(q for q, text in bundle.queries.items() if text == example.query)
        ids = [document.id for document in example.documents]
        assert ids[0] in bundle.positives[query] and not set(ids[1:]) & set(bundle.positives[query])
        assert example.labels == (1.0, 0.0, 0.0, 0.0, 0.0, 0.0) and len(set(ids)) == 6


def test_where_judgements_are_graded_a_worse_document_is_a_negative_of_a_better_one():
    graded = students.source()
    levels = {query: {d: 1 + index % 3 for index, d in enumerate(found)} for query, found in graded.positives.items()}
    graded = replace(graded, positives=levels)
    seen = set()
    for index in range(60):
        example = Sampler([graded], 5).example(index)
        judged = levels[next(q for q, text in graded.queries.items() if text == example.query)]
        first, *others = (judged.get(document.id, 0) for document in example.documents)
        assert all(level < first for level in others)
        seen.update((first, level) for level in others)
    assert {(3, 2), (3, 1), (2, 1), (1, 0)} <= seen


def test_an_example_depends_on_seed_and_number_alone():
    first, again, other = (Sampler([students.source()], 4, seed=seed) for seed in (1, 1, 2))
    backwards = [again.example(i) for i in reversed(range(8))]
    assert [first.example(i) for i in range(8)] == backwards[::-1]
    assert [first.example(i) for i in range(8)] != [other.example(i) for i in range(8)]


def test_every_pair_comes_once_before_any_comes_twice():
    pairs = students.pairs(12)
    sampler = Sampler([pairs], 7)
    drawn = [(e.query, e.documents[0].text, e.labels[0]) for e in map(sampler.example, range(24))]
    wanted = sorted((a, b, label) for (a, b), label in zip(pairs.pairs, pairs.labels, strict=True))
    assert sorted(drawn[:12]) == wanted and sorted(drawn[12:]) == wanted and drawn[:12] != drawn[12:]


def test_every_text_comes_once_as_query_and_document_before_any_comes_twice():
    texts = [f"text {number}" for number in range(12)]
    drawn = [Sampler([TextSet("texts", texts, seed=2)], 7).example(index) for index in range(24)]
    assert all([example.query] == [document.text for document in example.documents] for example in drawn)
    assert sorted(e.query for e in drawn[:12]) == sorted(texts) == sorted(e.query for e in drawn[12:])
    assert drawn[:12] != drawn[12:]
    again = Sampler([TextSet("texts", texts, seed=2)], 7)
    assert [again.example(index) for index in range(24)] == drawn
    assert Sampler([TextSet("texts", texts, seed=3)], 7).example(0) != drawn[0]


def test_pairs_keep_their_order_beside_another_source():
    alone = Sampler([students.pairs(12)], 4)
    mixed = Sampler([students.pairs(12), students.source()], 4)
    assert [mixed.example(2 * i).query for i in range(12)] == [alone.example(i).query for i in range(12)]


def test_sources_without_anything_to_draw_are_refused():
    with pytest.raises(InputError, match="no query"):
        Sampler([replace(students.source(), candidates={})], 4)
    with pytest.raises(InputError, match="12 documents"):
        Sampler([students.source()], 12)
    with pytest.raises(InputError, match="no pair"):
        Sampler([replace(students.pairs(), pairs=[], labels=[])], 4)
    with pytest.raises(InputError, match="no text"):
        Sampler([TextSet("texts", [])], 4)
    with pytest.raises(InputError, match=r"label 1.5"):
        Sampler([replace(students.pairs(2), labels=[0.0, 1.5])], 4)
