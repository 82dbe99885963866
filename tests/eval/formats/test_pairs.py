import gzip
import os
from pathlib import Path

import pytest
import zstandard

from lateint_eval.formats import Pair, read_pairs
from lateint_store.errors import FormatError, InputError

TAB = "sentence1\tsentence2\tscore\n"
REAL = Path(os.environ.get("LATEINT_DATA", ""))


def write(folder, text, name="pairs.tsv"):
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_tab_separated_fields_are_read_as_they_are(tmp_path):
    path = write(tmp_path, TAB + 'The "big one, he said\t#2 is it\t3.8\n\n# not a comment\tb\t 0 \n')
    assert read_pairs(path) == [
        Pair('The "big one, he said', "#2 is it", 3.8, 2),
        Pair("# not a comment", "b", 0.0, 4),
    ]


def test_csv_fields_may_be_quoted_and_hold_commas_line_ends_and_quotes(tmp_path):
    text = 'sentence1,sentence2,label\r\n"a, ""b""\nc",d,1\r\n\r\n"e",f,0\r\n'
    assert read_pairs(write(tmp_path, text)) == [Pair('a, "b"\nc', "d", 1.0, 2), Pair("e", "f", 0.0, 5)]


def test_comments_and_a_byte_order_mark_may_stand_before_the_header(tmp_path):
    path = write(tmp_path, "\ufeff# made by hand\n\nQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tone\ttwo\n")
    assert read_pairs(path) == [Pair("one", "two", 1.0, 4)]


@pytest.mark.parametrize(
    "header",
    ["sentence1,sentence2,label", "question1,question2,is_duplicate", "sentence_A,sentence_B,relatedness_score",
     "text1,text2,similarity", "query,passage,score", "Question,Sentence,Label"],
)  # fmt: skip
def test_common_headers_are_known(tmp_path, header):
    assert read_pairs(write(tmp_path, f"{header}\na,b,2e-1\n")) == [Pair("a", "b", 0.2, 2)]


def test_named_columns_come_before_known_ones(tmp_path):
    path = write(tmp_path, "id\tleft\tright\tlabel\tgold\n9\ta\tb\tbad\t4\n")
    assert read_pairs(path, ["RIGHT", "left", "gold"]) == [Pair("b", "a", 4.0, 2)]
    with pytest.raises(FormatError, match=r"line 1: 0 columns 'middle' among 'id', 'left'.*expected one"):
        read_pairs(path, ["left", "middle", "gold"])


def test_glue_words_are_labels(tmp_path):
    path = write(tmp_path, "index\tquestion\tsentence\tlabel\n0\ta\tb\tentailment\n1\tc\td\tnot_entailment\n")
    assert [pair.label for pair in read_pairs(path)] == [1.0, 0.0]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstandard.ZstdCompressor().compress)])
def test_compressed_files_and_standard_input(tmp_path, monkeypatch, suffix, pack):
    path = tmp_path / f"pairs.tsv{suffix}"
    path.write_bytes(pack((TAB + "a\tb\t1\n").encode()))
    assert read_pairs(path) == [Pair("a", "b", 1.0, 2)]
    with path.open("rb") as file:
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": file}))
        assert read_pairs("-") == [Pair("a", "b", 1.0, 2)]


SPLITS = TAB.strip() + "\tsplit\tpart\na\tb\t1\tdev\tx\nc\td\t2\ttest\ty\ne\tf\thidden\ttest\tz\n"


def test_splits_are_chosen_and_rows_of_others_need_no_label(tmp_path):
    path = write(tmp_path, SPLITS)
    assert [pair.line for pair in read_pairs(path, where={"split": {"test"}, "part": {"x", "y"}})] == [3]
    assert [pair.line for pair in read_pairs(path, where={"split": {"test", "dev"}, "part": {"x", "y"}})] == [2, 3]
    with pytest.raises(FormatError, match="line 4: label 'hidden'"):
        read_pairs(path, where={"split": {"test"}})


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({}, "holds the splits dev, test; choose"),
        ({"part": {"x", "y"}}, "holds the splits dev, test; choose"),
        ({"split": {"train"}}, "no pair has split 'train'; known values: dev, test"),
        ({"split": {"dev"}, "part": {"y"}}, "holds no pair with split dev and part y"),
        ({"source": {"news"}}, "line 1: 0 columns 'source'"),
    ],
)
def test_a_choice_of_rows_that_cannot_be_made(tmp_path, where, reason):
    with pytest.raises(InputError, match=reason):
        read_pairs(write(tmp_path, SPLITS), where=where)


def test_one_split_needs_no_choice(tmp_path):
    assert len(read_pairs(write(tmp_path, TAB.strip() + "\tsplit\na\tb\t1\tdev\nc\td\t2\tdev\n"))) == 2


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("one\ttwo\t1\n", 1, "none of sentence1/sentence2, .*among the columns 'one', 'two', '1'; name them: --columns"),
        ("sentence1\tsentence2\na\tb\n", 1, "none of label, score"),
        ("sentence1\tsentence2\tlabel\tscore\n", 1, "more than one of label, score among"),
        ("sentence1\tsentence1\tsentence2\tscore\n", 1, "2 columns 'sentence1'"),
        (TAB + "a\tb\t1\na\tb\n", 3, "2 fields; expected 3"),
        (TAB + "a\tb\tc\t1\n", 2, "4 fields; expected 3"),
        (TAB + "a\tb\tgood\n", 2, "label 'good' is not a finite number"),
        (TAB + "a\tb\t1_0\n", 2, "label '1_0'"),
        (TAB + "a\tb\tnan\n", 2, "label 'nan'"),
        (TAB + "a\tb\t1e999\n", 2, "label '1e999'"),
        (TAB + "a\tb\t\n", 2, "label ''"),
        (TAB + " \tb\t1\n", 2, "the first text is empty"),
        (TAB + "a\t\t1\n", 2, "the second text is empty"),
        ('sentence1,sentence2,score\na,b,1\n"c,d,1\n', 3, "not valid CSV"),
        ('sentence1,sentence2,score\n"a"b,c,1\n', 2, "not valid CSV"),
        ("sentence1,sentence2,score\na, b, c,1\n", 2, "4 fields; expected 3"),
    ],
)
def test_malformed_files_name_the_line(tmp_path, text, line, reason):
    with pytest.raises(FormatError, match=reason) as caught:
        read_pairs(write(tmp_path, text))
    assert caught.value.line == line and caught.value.source == str(tmp_path / "pairs.tsv")


@pytest.mark.parametrize(("text", "reason"), [("", "is empty"), ("# only this\n\n", "is empty"), (TAB, "holds no pair;")])
def test_files_without_pairs(tmp_path, text, reason):
    with pytest.raises(InputError, match=reason):
        read_pairs(write(tmp_path, text))


def test_bytes_that_are_not_utf8(tmp_path):
    (tmp_path / "p.tsv").write_bytes(TAB.encode() + b"caf\xe9\tb\t1\n")
    with pytest.raises(FormatError, match="line 2: not UTF-8 "):
        read_pairs(tmp_path / "p.tsv")


@pytest.mark.parametrize(
    ("name", "where", "n", "labels"),
    [
        ("stsb", {"split": {"test"}}, 1379, (0.0, 5.0)),
        ("stsb", {"split": {"dev"}}, 1500, (0.0, 5.0)),
        ("mrpc", {"split": {"test"}}, 1725, (0.0, 1.0)),
        ("qnli-dev", {}, 5463, (0.0, 1.0)),
        ("qnli-dev", {"squad_split": {"test"}}, 932, (0.0, 1.0)),
        ("sts12-15", {"split": {"test", "train"}}, 12092, (0.0, 5.0)),
    ],
)
def test_real_sets_have_their_published_counts(name, where, n, labels):
    path = REAL / name / f"{name}.tsv.gz"
    if not os.environ.get("LATEINT_DATA") or not path.is_file():
        pytest.skip(f"LATEINT_DATA names no folder with {name}")
    found = [pair.label for pair in read_pairs(path, where=where)]
    assert (len(found), (min(found), max(found))) == (n, labels)


def test_cells_of_any_length_are_read(tmp_path):
    path, long = tmp_path / "p.csv", "x y " * 40_000
    path.write_text(f"sentence1,sentence2,score\n{long},b,1\nc,d,0\n")
    assert [pair.first for pair in read_pairs(path)] == [long, "c"]
