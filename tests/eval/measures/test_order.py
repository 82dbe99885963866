import pytest

from lateint_eval.formats import Run, RunEntry
from lateint_eval.measures.order import ranked_ids, refuse_duplicates
from lateint_store.errors import InputError


def test_scores_decide_then_the_larger_id():
    entries = [RunEntry("9", 1, 1.0, 1), RunEntry("10", 2, 1.0, 2), RunEntry("b", 3, 2.0, 3)]
    assert ranked_ids(entries) == ["b", "9", "10"], "byte order: '9' > '10'"


def test_scores_are_compared_in_32_bits_as_in_trec_eval():
    assert ranked_ids([RunEntry("a", 1, 1.0 + 1e-9, 1), RunEntry("b", 2, 1.0, 2)]) == ["b", "a"]
    assert ranked_ids([RunEntry("a", 1, 1.0 + 1e-6, 1), RunEntry("b", 2, 1.0, 2)]) == ["a", "b"]


def test_code_points_sort_like_utf8_bytes():
    names = ["z", "é", "\uffee", "🍵"]
    assert sorted(names, key=str.encode) == names
    assert ranked_ids([RunEntry(name, 1, 0.0, at) for at, name in enumerate(names)]) == names[::-1]


def test_without_scores_ranks_decide():
    assert ranked_ids([RunEntry("a", 2, None, 1), RunEntry("b", 1, None, 2)]) == ["b", "a"]


def test_a_document_twice_is_refused_with_both_lines():
    run = Run("run.trec", {"1": [RunEntry("a", 1, 2.0, 4), RunEntry("b", 2, 1.0, 5), RunEntry("a", 3, 0.5, 6)]})
    with pytest.raises(InputError, match=r"run.trec: document 'a' of query '1' is in lines 4 and 6"):
        refuse_duplicates(run)
