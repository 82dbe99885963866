import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lateint_eval.formats import (
    CandidateList,
    Doc,
    read_candidates,
    read_corpus,
    read_qrels,
    read_queries,
    write_candidates,
    write_corpus,
    write_qrels,
    write_queries,
)
from lateint_store.errors import InputError

RELAXED = settings(derandomize=True, deadline=None, max_examples=60)
words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(str.strip)
ids = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1)
ids = ids.filter(lambda text: text.strip() and not text.startswith("\ufeff"))
LAYOUTS = [("beir", "x.jsonl"), ("msmarco", "x.tsv")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("written")


@pytest.mark.parametrize(("layout", "name"), LAYOUTS)
@RELAXED
@given(st.lists(st.tuples(ids, words, words), min_size=1, max_size=4))
def test_corpus_is_read_back(folder, layout, name, rows):
    docs = [Doc(*row, line) for line, row in enumerate(rows, start=1)]
    write_corpus(folder / name, docs, layout)
    back = list(read_corpus(folder / name))
    if layout == "beir":
        assert back == docs
    else:
        assert [(doc.id, doc.text) for doc in back] == [(doc.id, doc.full_text) for doc in docs]


@pytest.mark.parametrize(("layout", "name"), LAYOUTS)
@RELAXED
@given(st.dictionaries(ids, words, max_size=4))
def test_queries_are_read_back(folder, layout, name, queries):
    write_queries(folder / name, queries, layout)
    assert read_queries(folder / name) == queries


@pytest.mark.parametrize(("layout", "name"), LAYOUTS)
@RELAXED
@given(st.dictionaries(ids, st.dictionaries(ids, st.integers(-3, 3), min_size=1, max_size=3), max_size=3))
def test_qrels_are_read_back(folder, layout, name, qrels):
    write_qrels(folder / name, qrels, layout)
    assert read_qrels(folder / name) == qrels


lists = st.lists(st.tuples(words, words, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=3)


@RELAXED
@given(ids, words, lists)
def test_candidates_are_read_back(folder, query_id, query, rows):
    assume(not re.fullmatch("[0-9]+", query))  # with a passage that is a number, these would be ranks and scores
    doc_ids, texts = [f"d{at}" for at in range(len(rows))], [text for text, _, _ in rows]
    full = CandidateList(query_id, query, doc_ids, texts, [score for _, _, score in rows])
    write_candidates(folder / "c.jsonl", [full], "jsonl")
    assert list(read_candidates(folder / "c.jsonl")) == [full]
    write_candidates(folder / "c.top1000.tsv", [full], "top1000")
    assert list(read_candidates(folder / "c.top1000.tsv")) == [CandidateList(query_id, query, doc_ids, texts)]


def test_fields_that_would_break_a_line_are_refused(tmp_path):
    with pytest.raises(InputError, match="a field holds a tab or a line end"):
        write_corpus(tmp_path / "c.tsv", [Doc("1", "", "two\nlines", 1)], "msmarco")
    with pytest.raises(InputError, match="comes without texts"):
        write_candidates(tmp_path / "t.tsv", [CandidateList("1", None, ["a"])], "top1000")
    assert list(tmp_path.iterdir()) == []
