import pytest

from lateint_eval.formats import read_candidates, read_run
from lateint_eval.measures.metrics import evaluate
from lateint_store.errors import FormatError

RANKS = ["1 2 3", "3 1 2", "1 2 4", "1 5 9", "1"]
DOUBTFUL = {
    "120 95 40": (1, "rank 120 among 3"),
    "3 2 1 1": (4, "rank 1 among 4"),
    "0 1 2": (1, "count ranks from 1"),
    "87": (1, "87"),
}


def written(tmp_path, ranks):
    path = tmp_path / "run.tsv"
    path.write_text("".join(f"q1\td{at}\t{rank}\n" for at, rank in enumerate(ranks.split())))
    return path


@pytest.mark.parametrize("ranks", RANKS)
def test_ranks_from_one_are_read_and_may_leave_gaps_in_order(tmp_path, ranks):
    numbers = list(map(int, ranks.split()))
    ordered = [f"d{at}" for at in sorted(range(len(numbers)), key=lambda at: numbers[at])]
    path = written(tmp_path, ranks)
    assert [each.doc_ids for each in read_candidates(path)] == [ordered]
    assert evaluate({"q1": {ordered[0]: 1}}, read_run(path), ["RR@10"]).scores["RR@10"].mean == 1.0


@pytest.mark.parametrize("ranks", DOUBTFUL)
def test_numbers_that_may_be_scores_are_refused_with_their_line(tmp_path, ranks):
    line, reason = DOUBTFUL[ranks]
    path = written(tmp_path, ranks)
    for read in (lambda: list(read_candidates(path)), lambda: evaluate({"q1": {"d0": 1}}, read_run(path), ["RR@10"])):
        with pytest.raises(FormatError, match=reason) as caught:
            read()
        assert caught.value.line == line


def test_a_ranking_with_scores_is_not_taken_for_queries_and_passages(tmp_path):
    path = tmp_path / "ranking.tsv"
    path.write_text("q1\td3\t1\t120\nq2\td3\t1\t1.5e2\n")
    with pytest.raises(FormatError, match=r"line 1: this looks like a ranking `qid pid rank score`"):
        list(read_candidates(path))
