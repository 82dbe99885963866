import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lateint_eval.formats import RunEntry, read_run
from lateint_store.errors import FormatError, LateintError
from tests.support.paths import TOY


def test_toy_in_both_layouts():
    trec, msmarco = read_run(TOY / "run.trec"), read_run(TOY / "run.msmarco.tsv")
    assert len(trec) == len(msmarco) == 20
    for (trec_query, ours), (msmarco_query, theirs) in zip(trec.items(), msmarco.items(), strict=True):
        assert trec_query == msmarco_query
        assert [entry[:2] for entry in ours] == [entry[:2] for entry in theirs]
        assert all(entry.score is None for entry in theirs)


def test_lines_that_end_with_a_carriage_return_alone_do_not_become_a_tag(tmp_path):
    path = tmp_path / "run"
    path.write_bytes(b"q1 Q0 d1 1 3.0 x\rq1 Q0 d2 2 2.0 x\r")
    with pytest.raises(FormatError, match="line 1: a carriage return inside the line"):
        read_run(path)
    path.write_bytes(b"q1 Q0 d1 1 3.0 x\r\nq1 Q0 d2 2 2.0 x\r\n")
    assert [entry.doc_id for entry in read_run(path).queries["q1"]] == ["d1", "d2"]


def test_order_of_lines_and_repetitions_are_kept(tmp_path):
    path = tmp_path / "run"
    path.write_text("2 Q0 b 7 0.5 x\n1 Q0 a 1 1e-3 x\n2\tQ0\tb\t-3\t9\tx\n")
    run = read_run(path)
    assert run.queries == {"2": [RunEntry("b", 7, 0.5, 1), RunEntry("b", -3, 9.0, 3)], "1": [RunEntry("a", 1, 0.001, 2)]}


def test_blanks_beyond_ascii_belong_to_the_id(tmp_path):
    path = tmp_path / "run"
    path.write_text("1 Q0 a\u00a0b 1 1.0 x\n", encoding="utf-8")
    assert read_run(path).queries["1"][0].doc_id == "a\u00a0b"


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("1 a\n", 1, "2 fields; expected 6"),
        ("1 a 1 0.5\n", 1, "4 fields"),
        ("1 Q0 a 1 0.5 x\n1 Q0 a 1 0.5\n", 2, "5 fields, the first line has 6"),
        ("1\ta\t1\n1\ta\n", 2, "2 fields, the first line has 3"),
        ("1\ta\t1.0\n", 1, "rank '1.0' is not a whole number"),
        ("1 Q0 a x 0.5 t\n", 1, "rank 'x'"),
        ("1 Q0 a 1 high t\n", 1, "score 'high' is not a number"),
        ("1 Q0 a 1 1_0 t\n", 1, "score '1_0' is not a number"),
        ("1 Q0 a 1 0.5 t\n1 Q0 b 2 nan t\n", 2, "score nan of document 'b' is not finite"),
        ("1 Q0 a 1 -inf t\n", 1, "score -inf"),
    ],
)
def test_malformed_line_is_named(tmp_path, content, line, reason):
    path = tmp_path / "run"
    path.write_text(content)
    with pytest.raises(FormatError, match=reason) as caught:
        read_run(path)
    assert caught.value.line == line


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    path = tmp_path / "run"
    path.write_bytes(b"1\ta\t1\n1\t\xff\t2\n")
    with pytest.raises(FormatError, match="line 2: not UTF-8"):
        read_run(path)


def test_nan_passes_for_the_audit(tmp_path):
    path = tmp_path / "run"
    path.write_text("1 Q0 a 1 nan t\n")
    run = read_run(path, finite=False)
    assert list(run.queries) == ["1"] and math.isnan(run.queries["1"][0].score)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.binary(max_size=50) | st.text("1 \tQ0a-.einf_\n", max_size=60).map(str.encode))
def test_any_bytes_give_a_run_or_a_typed_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "run"
    path.write_bytes(content)
    try:
        run = read_run(path)
    except LateintError as error:
        assert str(error)
    else:
        assert all(query_id and entries for query_id, entries in run.items())


def test_a_tag_may_hold_blanks(tmp_path):
    path = tmp_path / "run"
    path.write_text("q1 Q0 d1 1 3.0 bm25 k1=0.9 b=0.4\nq1 Q0 d2 2 2.0 bm25\n")
    assert read_run(path).queries == {"q1": [RunEntry("d1", 1, 3.0, 1), RunEntry("d2", 2, 2.0, 2)]}


def test_an_id_with_a_blank_does_not_shift_the_fields(tmp_path):
    path = tmp_path / "run"
    path.write_text("q1 Q0 d 7 1 3.0 tag\n")
    with pytest.raises(FormatError, match=r"line 1: 7 fields.*does an id hold a blank"):
        read_run(path)


@pytest.mark.parametrize("rank", ["2147483648", "9" * 5000])
def test_ranks_are_bounded(tmp_path, rank):
    path = tmp_path / "run"
    for line in (f"q1 Q0 d1 {rank} 3.0 x\n", f"q1\td1\t{rank}\n"):
        path.write_text(line)
        with pytest.raises(FormatError, match=r"line 1: rank .* out of range"):
            read_run(path)
