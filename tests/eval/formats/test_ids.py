import gzip

import pytest

from lateint_eval.formats import read_ids
from lateint_store.errors import FormatError


def test_a_byte_order_mark_line_ends_and_compression_are_no_part_of_ids(tmp_path):
    path = tmp_path / "ids.txt"
    for content in (b"\xef\xbb\xbf1\r\n\n2 3\r\n", gzip.compress(b"1\n2 3")):
        path.write_bytes(content)
        assert read_ids(path) == ["1", "2 3"]


def test_another_encoding_is_named_with_its_line(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"4\ncaf\xe9\n")
    with pytest.raises(FormatError, match="line 2: not UTF-8"):
        read_ids(path)
