"""How a path to training data is read: as ranking lists, pairs or texts."""

import gzip

import pytest

from lateint.train.data import PairSet, TextSet
from lateint_eval.datasets.sources import training_source
from lateint_store.errors import FormatError, InputError


def test_a_txt_file_is_texts_each_once_and_any_other_file_is_pairs(tmp_path):
    (tmp_path / "texts.txt").write_text("bread, salt\n\n  wheel\nbread, salt\n", encoding="utf-8")
    found = training_source(tmp_path / "texts.txt", seed=4)
    assert isinstance(found, TextSet) and found == TextSet("texts.txt", ["bread, salt", "wheel"], 4)
    with gzip.open(tmp_path / "texts.txt.gz", "wt", encoding="utf-8") as file:
        file.write("wheel\n")
    assert training_source(tmp_path / "texts.txt.gz").texts == ["wheel"]
    (tmp_path / "pairs.tsv").write_text("sentence1\tsentence2\tscore\na\tb\t0\nc\td\t5\n", encoding="utf-8")
    pairs = training_source(tmp_path / "pairs.tsv")
    assert isinstance(pairs, PairSet) and pairs.labels == [0.0, 1.0]


def test_a_file_without_a_text_and_one_that_is_not_utf_8_are_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("\n  \n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no text"):
        training_source(tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes(b"bread\ncaf\xe9\n")
    with pytest.raises(FormatError, match="not UTF-8"):
        training_source(tmp_path / "latin.txt")
