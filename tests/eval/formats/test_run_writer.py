import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lateint_eval.formats import read_run, strictly_decreasing, write_run
from lateint_store.errors import InputError

query_ids = st.text("ab1é🍵-", min_size=1)
RELAXED = settings(derandomize=True, deadline=None, max_examples=200)
scores_best_first = st.lists(
    st.floats(-1e30, 1e30) | st.sampled_from([0.0, -0.0, 1.0, 1e-40, -1e-45, 2.0**-126, -(2.0**-126), 16777217.0]),
    max_size=30,
).map(lambda scores: sorted(scores, reverse=True))


@RELAXED
@given(scores_best_first)
def test_scores_decrease_strictly_in_every_precision_that_tools_use(scores):
    written = [f"{score:.9g}" for score in strictly_decreasing(scores)]
    as_double = np.array([float(text) for text in written])
    as_single = as_double.astype(np.float32)
    assert np.all(np.diff(as_double) < 0) and np.all(np.diff(as_single) < 0)
    assert all(value == 0.0 or abs(value) >= 2.0**-126 for value in as_single), "no denormals: some tools flush them"


@RELAXED
@given(scores_best_first)
def test_a_score_is_lowered_no_further_than_ties_need(scores):
    singles = np.array(scores, dtype=np.float32)
    singles[np.abs(singles) < 2.0**-126] = 0.0
    distinct = bool(np.all(np.diff(singles) < 0))
    written = np.array(strictly_decreasing(scores), dtype=np.float32)
    assert np.all(written <= singles)
    if distinct:
        assert np.array_equal(written, singles)


def test_a_tie_becomes_a_chain_of_neighbours():
    chain = np.array(strictly_decreasing([1.0, 1.0, 1.0]), dtype=np.float32)
    below = np.nextafter(np.float32(1), np.float32(-np.inf), dtype=np.float32)
    assert chain[1] == below and chain[2] == np.nextafter(below, np.float32(-np.inf), dtype=np.float32)
    assert strictly_decreasing([0.0, 0.0])[1] == -(2.0**-126)
    assert strictly_decreasing([2.0**-126, 2.0**-126])[1] == 0.0
    assert strictly_decreasing([-1.0, -1.0])[1] < -1.0


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ([math.nan], "score nan at rank 1 of query 'q' is not finite"),
        ([math.inf], "score inf"),
        ([1.0, -math.inf], "score -inf at rank 2"),
        ([1e39], "not finite in 32 bits"),
        ([1.0, 2.0], "score 2.0 at rank 2 of query 'q' is above 1.0"),
        ([-3.4028234663852886e38] * 2, "no finite 32-bit score is left below rank 1"),
    ],
)
def test_scores_that_cannot_be_written_are_refused(scores, reason):
    with pytest.raises(InputError, match=reason):
        strictly_decreasing(scores, "q")


def test_both_formats_byte_for_byte(tmp_path):
    rankings = {"q1": [("b", 2.5), ("tea-🍵", 2.5), ("c", -1.0)], "q0": [("a", 1e-9)]}
    assert write_run(tmp_path / "run.trec", rankings, tag="mine") == 4
    assert (tmp_path / "run.trec").read_text(encoding="utf-8") == (
        "q1 Q0 b 1 2.5 mine\nq1 Q0 tea-🍵 2 2.49999976 mine\nq1 Q0 c 3 -1 mine\nq0 Q0 a 1 9.99999972e-10 mine\n"
    )
    assert write_run(tmp_path / "run.tsv", iter(rankings.items()), format="msmarco") == 4
    assert (tmp_path / "run.tsv").read_text(encoding="utf-8") == "q1\tb\t1\nq1\ttea-🍵\t2\nq1\tc\t3\nq0\ta\t1\n"


@RELAXED
@given(st.dictionaries(query_ids, scores_best_first, max_size=4), st.sampled_from(["trec", "msmarco"]))
def test_what_is_written_is_read_back_in_order(tmp_path_factory, by_query, layout):
    path = tmp_path_factory.mktemp("run") / "run.zst"
    rankings = {query_id: [(f"d{at}", score) for at, score in enumerate(each)] for query_id, each in by_query.items()}
    write_run(path, rankings, format=layout)
    run = read_run(path)
    expected = {query_id: [doc_id for doc_id, _ in ranking] for query_id, ranking in rankings.items() if ranking}
    assert {query_id: [entry.doc_id for entry in entries] for query_id, entries in run.items()} == expected
    assert all([entry.rank for entry in entries] == list(range(1, len(entries) + 1)) for _, entries in run.items())


@pytest.mark.parametrize(
    ("rankings", "options", "reason"),
    [
        ([("q", [("a", 2.0), ("a", 1.0)])], {}, "'a' occurs twice in the ranking of query 'q'"),
        ([("q", [("a", 2.0)]), ("q", [("b", 2.0)])], {}, "'q' has two rankings"),
        ([("q", [("a b", 2.0)])], {}, "document id 'a b' cannot be written"),
        ([("q", [("a\u00a0b", 2.0)])], {}, "document id"),
        ([("q", [("a\x00", 2.0)])], {}, "document id"),
        ([("q", [("\ud800", 2.0)])], {}, "document id"),
        ([("q", [("", 2.0)])], {}, "document id ''"),
        ([("q\t", [("a", 2.0)])], {}, "query id"),
        ([("q", [("a", 2.0)])], {"tag": "my run"}, "tag 'my run'"),
        ([("q", [("a", 2.0)])], {"format": "json"}, "run format 'json'"),
        ([("q", [(str(n), -float(n)) for n in range(1001)])], {"format": "msmarco"}, "1001 documents"),
    ],
)
def test_what_would_break_a_reader_is_refused_and_nothing_is_left(tmp_path, rankings, options, reason):
    path = tmp_path / "run"
    path.write_text("before")
    with pytest.raises(InputError, match=reason):
        write_run(path, [("fine", [("a", 1.0)]), *rankings], **options)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
