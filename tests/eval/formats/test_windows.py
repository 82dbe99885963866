"""Where the windows of a corpus begin: reading one of them gives the documents that reading everything gives."""

import bz2
import gzip
import json

import pytest
import zstandard

from lateint_eval.formats import read_corpus
from lateint_eval.formats.blocks import write_blocks
from lateint_eval.formats.records import Doc
from lateint_eval.formats.windows import corpus_windows, read_window, seekable_file
from lateint_store.errors import FormatError, InputError

TEXTS = [f"bread {'and yeast ' * (number % 9)}{number} ä" for number in range(50)]
PLAIN = {
    "corpus.jsonl": "\ufeff"
    + "".join(json.dumps({"_id": f"d{n}", "title": "T" * (n % 3), "text": t}) + "\n\n" for n, t in enumerate(TEXTS)),
    "passages.tsv": "".join(f"{n}\t{t}\r\n" for n, t in enumerate(TEXTS)),
    "documents.tsv": "".join(f"D{n}\thttp://x\ttitle {n}\t{t}\n" for n, t in enumerate(TEXTS)).rstrip("\n"),
}
COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.ZstdCompressor().compress}


def planned(path, size):
    return [(layout, start, docs) for layout, start, docs in corpus_windows(path, size)]


def check(path, size):
    whole = list(read_corpus(path))
    found = planned(path, size)
    assert [doc for _, _, docs in found for doc in docs] == whole and len(whole) == 50
    assert [len(docs) for _, _, docs in found] == [size] * (50 // size) + [50 % size] * (50 % size > 0)
    for layout, start, docs in reversed(found):
        assert read_window(seekable_file(path), layout, start, len(docs)) == docs, "line numbers included"
    return found


@pytest.mark.parametrize("name", PLAIN)
def test_a_window_of_a_plain_file_is_read_from_its_line(tmp_path, name):
    (tmp_path / name).write_text(PLAIN[name], encoding="utf-8", newline="")
    found = check(tmp_path / name, 8)
    assert all(start.skip == 0 for _, start, _ in found) and len({start.offset for _, start, _ in found}) == 7


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_window_of_a_file_in_blocks_is_read_from_its_block(tmp_path, suffix):
    text, file = PLAIN["passages.tsv"].encode(), tmp_path / f"passages.tsv{suffix}"
    file.write_bytes(b"".join(COMPRESS[suffix](text[at : at + 700]) for at in range(0, len(text), 700)))
    found = check(file, 8)
    assert len({start.offset for _, start, _ in found}) > 2 and max(start.skip for _, start, _ in found) < 700
    data = file.read_bytes()
    file.write_bytes(data[:-3])
    with pytest.raises(InputError, match="cannot read further"):
        planned(file, 8)
    file.write_bytes(COMPRESS[suffix](text))
    with pytest.raises(InputError, match=r"compressed as one block.*lateint corpus split .*passages\.tsv"):
        planned(file, 8)
    assert len(planned(file, 100)) == 1, "one window begins at the start"


def test_blocks_are_written_one_for_each_window_and_as_a_whole(tmp_path):
    (tmp_path / "corpus.jsonl").write_text(PLAIN["corpus.jsonl"], encoding="utf-8")
    out = tmp_path / "out.jsonl.zst"
    assert write_blocks(out, read_corpus(tmp_path / "corpus.jsonl"), 8) == 50
    assert all(start.skip == 0 for _, start, _ in check(out, 8))
    before = out.read_bytes()
    broken = iter([Doc("a", "", "b", 1)])

    def failing():
        yield next(broken)
        raise FormatError("x", 1, "broken")

    with pytest.raises(FormatError):
        write_blocks(out, failing(), 8)
    assert out.read_bytes() == before and sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl", "out.jsonl.zst"]
    for path in (tmp_path / "x.jsonl", tmp_path / "nowhere" / "x.zst"):
        with pytest.raises(InputError):
            write_blocks(path, [], 8)


@pytest.mark.parametrize("path", ["-", "irds:beir/arguana", "/dev/null"])
def test_what_cannot_be_read_at_a_place_says_so_and_how_to_change_that(path):
    with pytest.raises(InputError, match=f"{path} *cannot be read from a place|<stdin> cannot be .*lateint corpus split"):
        planned(path, 8)


def test_bad_lines_and_empty_files_are_named(tmp_path):
    (tmp_path / "a.tsv").write_text("1\tx\n2\n")
    with pytest.raises(FormatError, match=r"a\.tsv, line 2"):
        planned(tmp_path / "a.tsv", 8)
    (tmp_path / "a.tsv").write_text("\n\n")
    with pytest.raises(InputError, match="holds no document"):
        planned(tmp_path / "a.tsv", 8)
