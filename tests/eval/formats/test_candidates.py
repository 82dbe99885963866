import gzip
import io
import sys

import pytest

from lateint_eval.formats import CandidateList, read_candidates
from lateint_store.errors import FormatError
from tests.support.paths import TOY


def test_the_same_lists_from_every_layout():
    top1000, trec, msmarco = (list(read_candidates(TOY / name)) for name in ("top1000.tsv", "run.trec", "run.msmarco.tsv"))
    jsonl = list(read_candidates(TOY / "candidates.jsonl"))
    for full, scored, ranked, named in zip(top1000, trec, msmarco, jsonl, strict=True):
        assert full.query_id == scored.query_id == ranked.query_id
        assert full.doc_ids == scored.doc_ids == ranked.doc_ids
        assert len(full.texts) == 15 and full.scores is None and full.query_text == named.query_text
        assert scored.texts is scored.query_text is ranked.scores is None
        assert scored.scores == sorted(scored.scores, reverse=True) and len(named.doc_ids) == 15
    assert top1000[0].texts[top1000[0].doc_ids.index("0")].startswith("Proofing dough Let the kneaded dough")


def test_trec_candidates_come_by_score_then_rank(tmp_path):
    path = tmp_path / "run"
    path.write_text("1 Q0 low 1 0.5 x\n1 Q0 second 3 2 x\n1 Q0 first 2 2 x\n")
    assert list(read_candidates(path)) == [CandidateList("1", None, ["first", "second", "low"], None, [2.0, 2.0, 0.5])]


def test_msmarco_candidates_come_by_rank(tmp_path):
    path = tmp_path / "run"
    path.write_text("1\tb\t2\n1\ta\t1\n")
    assert [each.doc_ids for each in read_candidates(path)] == [["a", "b"]]


SCATTERED = "2\ta\tq two\tA\n1\tb\tq one\tB\n\n2\tc\tq two\tC\n1\ta\tq one\tA\n"
GROUPED = [
    CandidateList("2", "q two", ["a", "c"], ["A", "C"]),
    CandidateList("1", "q one", ["b", "a"], ["B", "A"]),
]


def test_top1000_lines_of_a_query_may_be_scattered(tmp_path):
    path = tmp_path / "top1000.dev"
    for text in (SCATTERED, SCATTERED.replace("\n", "\r\n"), SCATTERED.rstrip("\n")):
        path.write_bytes(text.encode())
        assert list(read_candidates(path)) == GROUPED


def test_top1000_is_grouped_from_packed_files_and_stdin_and_leaves_no_copy(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    path = tmp_path / "top1000.dev.gz"
    path.write_bytes(gzip.compress(("\ufeff" + SCATTERED).encode()))
    assert list(read_candidates(path)) == GROUPED
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SCATTERED.encode())))
    assert list(read_candidates("-")) == GROUPED
    assert list((tmp_path / "temporary").iterdir()) == []


def test_runs_and_jsonl_come_from_packed_files_and_are_named_after_them(tmp_path):
    path = tmp_path / "run.trec.gz"
    path.write_bytes(gzip.compress((TOY / "run.trec").read_bytes()))
    assert list(read_candidates(path)) == list(read_candidates(TOY / "run.trec"))
    path.write_bytes(gzip.compress(b"1 Q0 a 1 0.5 x\n1 Q0 b 1 nan x\n"))
    with pytest.raises(FormatError) as caught:
        list(read_candidates(path))
    assert caught.value.source == str(path)
    path = tmp_path / "candidates.jsonl.gz"
    path.write_bytes(gzip.compress((TOY / "candidates.jsonl").read_bytes()))
    assert list(read_candidates(path)) == list(read_candidates(TOY / "candidates.jsonl"))


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("1\ta\tq\tA\n1\tb\tq\n", 2, "3 tab-separated fields; expected 4"),
        ("1\ta\tq\tA\n1\ta\tq\tA\n", 2, "'a' of query '1' occurs for the second time"),
        ("1\ta\tq\tA\n1\tb\tother\tB\n", 2, "another text than before"),
        ("1\ta\tq\tA\n\tb\tq\tB\n", 2, "query id is empty"),
        ("1\ta\tq\tA\n1\t\tq\tB\n", 2, "passage id is empty"),
        ("1\t0\t17\t1\n", 1, "looks like qrels"),
        ("1 Q0 a 1 2 x\n1 Q0 b 2 1 x\n1 Q0 a 3 0 x\n", 3, "is already in line 1"),
        ('{"query_id": "1", "candidates": 3}\n', 1, "no 'candidates' list"),
        ('{"query_id": "1", "candidates": ["a"]}\n', 1, "no 'candidates' list of objects"),
        ('{"query_id": "1", "candidates": [{"id": "a"}, {"id": "a"}]}\n', 1, "'a' occurs twice"),
        ('{"query_id": "1", "candidates": [{"id": ""}]}\n', 1, "id is empty"),
        ('{"query_id": "1", "candidates": [{"id": "a", "text": "x"}, {"id": "b"}]}\n', 1, "1 of 2 candidates have"),
        ('{"query_id": "1", "candidates": [{"id": "a", "score": NaN}]}\n', 1, "'score' is not finite"),
        ('{"query_id": "1", "candidates": [{"id": "a", "score": "1"}]}\n', 1, "expected a number"),
        ('{"query_id": "1", "candidates": [{"id": "a", "score": 1' + "0" * 400 + "}]}\n", 1, "'score' is not finite"),
        ('{"candidates": []}\n', 1, "no 'query_id'"),
        ('{"query_id": "1", "candidates": []}\n{"query_id": "1", "candidates": []}\n', 2, "occurs for the second time"),
    ],
)
def test_malformed_line_is_named(tmp_path, content, line, reason):
    path = tmp_path / "candidates"
    path.write_text(content)
    with pytest.raises(FormatError, match=reason) as caught:
        list(read_candidates(path))
    assert caught.value.line == line and caught.value.source == str(path)


def test_jsonl_with_scores_and_without_query(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text('{"query_id": 5, "candidates": [{"id": 1, "score": 2}, {"id": "b", "score": 0.5}]}\n')
    assert list(read_candidates(path)) == [CandidateList("5", None, ["1", "b"], None, [2.0, 0.5])]
