import bz2
import gzip
import io
import os
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard

from lateint_eval.formats.lines import bare_name, can_reread, is_seekable_plain, limited_lines, read_lines, source_name
from lateint_store.errors import FormatError, InputError

PLAIN = b"first\n\nthird\r\n  \nfifth without end"
LINES = [(1, b"first"), (3, b"third"), (5, b"fifth without end")]
PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("suffix", PACK)
def test_compressed_lines_are_those_of_the_plain_file(tmp_path, suffix):
    packed = tmp_path / f"lines.tsv{suffix}"
    packed.write_bytes(PACK[suffix](PLAIN))
    assert list(read_lines(packed)) == LINES
    assert not is_seekable_plain(packed)


@pytest.mark.parametrize("suffix", PACK)
def test_compression_is_told_by_content_where_the_name_is_silent(tmp_path, suffix):
    packed = tmp_path / "lines"
    packed.write_bytes(PACK[suffix](PLAIN))
    assert list(read_lines(packed)) == LINES


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("content", [b"", b"plain\n"])
def test_a_name_that_promises_compression_must_keep_it(tmp_path, suffix, content):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="content is not"):
        list(read_lines(path))


@pytest.mark.parametrize("suffix", PACK)
def test_a_file_cut_short_is_an_error_and_never_a_short_result(tmp_path, suffix):
    packed = PACK[suffix](b"".join(b"line %d %d\n" % (n, n * n % 9973) for n in range(50_000)))
    for share in (0.999, 0.5):
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(packed[: int(len(packed) * share)])
        with pytest.raises(FormatError, match="cut short"):
            list(read_lines(path))


@pytest.mark.parametrize("suffix", PACK)
def test_damage_in_the_middle_is_a_format_error(tmp_path, suffix):
    packed = bytearray(PACK[suffix](b"".join(b"line %d %d\n" % (n, n * n % 9973) for n in range(50_000))))
    packed[len(packed) // 2 : len(packed) // 2 + 64] = b"\xff" * 64
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(packed)
    with pytest.raises(FormatError, match=r"damaged.* line \d+"):
        list(read_lines(path))


def test_several_frames_read_as_one(tmp_path):
    for suffix, pack in PACK.items():
        path = tmp_path / f"frames{suffix}"
        path.write_bytes(pack(b"one\ntw") + pack(b"o\nthree\n"))
        assert [line for _, line in read_lines(path)] == [b"one", b"two", b"three"]


def test_stdin_is_read_plain_and_packed(monkeypatch):
    for content in (PLAIN, gzip.compress(PLAIN)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert list(read_lines("-")) == LINES
        assert not sys.stdin.buffer.closed
    assert source_name("-") == "<stdin>" and not is_seekable_plain("-")


def test_byte_order_mark_goes_only_at_the_start(tmp_path):
    path = tmp_path / "bom"
    path.write_bytes(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n")
    assert list(read_lines(path)) == [(1, b"a"), (2, b"\xef\xbb\xbfb")]


def test_only_newlines_end_lines(tmp_path):
    path = tmp_path / "separators"
    path.write_text("a\u2028b\x0bc\x85d\n", encoding="utf-8")
    assert [number for number, _ in read_lines(path)] == [1]


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.tsv", tmp_path):
        with pytest.raises(InputError, match=f"cannot read {path}"):
            list(read_lines(path))


def test_bare_name_drops_only_compression():
    assert [bare_name(name) for name in ("a/B.JSONL.gz", "c.tsv", "d.zst")] == ["b.jsonl", "c.tsv", "d"]


def test_a_pipe_that_delivers_one_byte_at_first_is_recognised(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    packed = gzip.compress(PLAIN)

    def write():
        with path.open("wb", buffering=0) as file:
            file.write(packed[:1])
            time.sleep(0.1)
            file.write(packed[1:])

    with ThreadPoolExecutor() as pool:
        pool.submit(write)
        assert list(read_lines(path)) == LINES
    assert not can_reread(path) and not can_reread("-") and can_reread(tmp_path)


@pytest.mark.parametrize("suffix", ["", *PACK])
def test_a_line_above_the_limit_is_refused_before_it_is_in_memory(tmp_path, suffix):
    path = tmp_path / f"long{suffix}"
    size = 64 << 20 if suffix == ".zst" else 4 << 20  # this decoder unpacks 512 bytes at once, however much that becomes
    path.write_bytes(PACK.get(suffix, bytes)(b"short\n" + b"x" * size))
    with limited_lines(1 << 20), pytest.raises(FormatError, match=r"line 2: more than 1 MiB.*--line-limit"):
        list(read_lines(path))
    tracemalloc.start()
    with limited_lines(1 << 16), pytest.raises(FormatError, match="line 2"):
        list(read_lines(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (40 << 20 if suffix == ".zst" else 2 << 20)
    assert len(list(read_lines(path))) == 2, "the limit holds in the block only"


def test_a_last_line_without_an_end_is_refused_on_request(tmp_path):
    path = tmp_path / "cut"
    path.write_bytes(PLAIN)
    with pytest.raises(FormatError, match="line 5: the input ends inside this line"):
        list(read_lines(path, whole=True))
    path.write_bytes(PLAIN + b"\n")
    assert list(read_lines(path, whole=True)) == LINES


def test_a_closed_standard_input_is_named(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input: it is closed"):
        list(read_lines("-"))
