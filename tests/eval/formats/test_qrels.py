import pytest

from lateint_eval.formats import read_qrels
from lateint_store.errors import FormatError, InputError
from tests.support.paths import TOY

HEADER = "query-id\tcorpus-id\tscore\n"


def test_toy_in_both_layouts():
    beir, msmarco = read_qrels(TOY), read_qrels(TOY / "qrels.tsv")
    assert beir["q-green"] == {"tea-green": 3, "tea-🍵": 1, "kettle-lime": 0}
    assert msmarco["1003"] == {"4": 3, "5": 1, "39": 0}
    assert read_qrels(TOY / "qrels" / "test.tsv") == beir


def test_trec_qrels_take_tabs_and_blanks_and_negative_labels(tmp_path):
    path = tmp_path / "q"
    path.write_text("7 0 d1 2\n7\tQ0\td2  -1\n\n 8 0 d1 +1 \n8 0 d1 1\n")
    assert read_qrels(path) == {"7": {"d1": 2, "d2": -1}, "8": {"d1": 1}}


def test_beir_ids_may_hold_spaces(tmp_path):
    path = tmp_path / "q.tsv"
    path.write_text(HEADER + "a query\ta doc\t1\n")
    assert read_qrels(path) == {"a query": {"a doc": 1}}


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("1 0 d\n", 1, "3 fields; expected 4"),
        ("1\td\t1\n", 1, "3 fields; expected 4"),
        ("1 0 d 1\n1 0 d 1 x\n", 2, "5 fields"),
        ("1 0 d one\n", 1, "label 'one' is not a whole number"),
        ("1 0 d 1.0\n", 1, "label '1.0'"),
        ("1 0 d 1_0\n", 1, "label '1_0'"),
        ("1 0 d 1\n1 0 d 2\n", 2, r"label 2 for \(1, d\), which already has label 1"),
        (HEADER + "1 d 1\n", 2, "1 fields"),
        (HEADER + "\td\t1\n", 2, "query id is empty"),
        (HEADER + "1\t\t1\n", 2, "document id is empty"),
    ],
)
def test_malformed_line_is_named(tmp_path, content, line, reason):
    path = tmp_path / "q.tsv"
    path.write_text(content)
    with pytest.raises(FormatError, match=reason) as caught:
        read_qrels(path)
    assert caught.value.line == line


def test_a_folder_with_other_splits_asks_which(tmp_path):
    (tmp_path / "qrels").mkdir()
    with pytest.raises(InputError, match="found: none"):
        read_qrels(tmp_path)
    (tmp_path / "qrels" / "dev.tsv").write_text(HEADER + "1\td\t1\n")
    assert read_qrels(tmp_path) == {"1": {"d": 1}}
    (tmp_path / "qrels" / "train.tsv").write_text(HEADER)
    with pytest.raises(InputError, match=r"found: dev.tsv, train.tsv"):
        read_qrels(tmp_path)
    (tmp_path / "qrels" / "test.tsv").write_text(HEADER + "2\td\t1\n")
    assert read_qrels(tmp_path) == {"2": {"d": 1}}


@pytest.mark.parametrize("label", ["300000000", "10001", "-10001", "9" * 20, "9" * 5000])
def test_labels_are_bounded(tmp_path, label):
    path = tmp_path / "qrels"
    path.write_text(f"q1 0 d1 1\nq1 0 d2 {label}\n")
    with pytest.raises(FormatError, match=r"line 2: label .* out of range; .* are columns swapped\?") as caught:
        read_qrels(path)
    assert len(str(caught.value)) < 250


def test_leading_zeros_do_not_count(tmp_path):
    path = tmp_path / "qrels"
    path.write_text(f"q1 0 d1 -{'0' * 5000}2\nq1 0 d2 +10000\n")
    assert read_qrels(path) == {"q1": {"d1": -2, "d2": 10_000}}
