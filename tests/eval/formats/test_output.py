import gzip
import os
import resource

import pytest

from lateint_eval.formats.lines import read_lines
from lateint_eval.formats.output import replacing
from lateint_store.errors import InputError, StoreFull


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".zst"])
def test_the_name_decides_the_compression_and_bytes_do_not_depend_on_the_clock(tmp_path, suffix):
    contents = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / f"out{suffix}"
        with replacing(path) as write:
            write("eins\n")
            write("zwei 🍵\n")
        assert [line.decode() for _, line in read_lines(path)] == ["eins", "zwei 🍵"]
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    if suffix == ".gz":
        assert gzip.decompress(contents[0]).endswith("🍵\n".encode())
        assert contents[0][4:8] == bytes(4), "no time stamp in the header"


def test_after_an_error_the_old_file_stands_and_nothing_else(tmp_path):
    path = tmp_path / "out"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as write:
        write("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with replacing(path) as write:
        write("through\n")
    assert os.read(reader, 100) == b"through\n" and path.is_fifo()
    os.close(reader)


def test_a_link_keeps_pointing_at_the_new_file(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with replacing(tmp_path / "link") as write:
        write("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("size", [10, 400_000])
def test_where_there_is_no_room_the_old_file_stands_and_the_place_is_named(tmp_path, suffix, size):
    path = tmp_path / f"out{suffix}"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))  # simulates a full disk
    try:
        with pytest.raises(StoreFull, match=f"no space to write {path}.*free some"), replacing(path) as write:
            for number in range(size // 10):
                write(f"{number * 7919 % 10**9:09}\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_full_device_is_named_and_a_reader_that_went_away_is_not_its_fault(tmp_path):
    with pytest.raises(StoreFull, match="no space to write /dev/full"), replacing("/dev/full") as write:
        write("line\n")
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(BrokenPipeError), replacing(path) as write:
        os.close(reader)
        write("nobody reads this\n")


def test_standard_error_is_written_to_where_it_leads(tmp_path):
    file = tmp_path / "log"
    file.write_text("before\n")
    saved = os.dup(2)
    try:
        with file.open("a") as log:
            os.dup2(log.fileno(), 2)
        with replacing("/dev/stderr") as write:
            write("run\n")
    finally:
        os.dup2(saved, 2)
        os.close(saved)
    assert file.read_text() == "before\nrun\n" and [path.name for path in tmp_path.iterdir()] == ["log"]


def test_a_pipe_named_as_a_draft_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / ".run.123.tmp")
    with replacing(tmp_path / "run") as write:
        write("run\n")
    assert (tmp_path / "run").read_text() == "run\n" and (tmp_path / ".run.123.tmp").exists()


def test_dash_is_stdout(capsys):
    with replacing("-") as write:
        write("line\n")
    assert capsys.readouterr().out == "line\n"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot write"), replacing(tmp_path / "none" / "out"):
        pass


def test_drafts_of_killed_runs_are_removed_and_those_of_living_ones_are_not(tmp_path):
    path = tmp_path / "out.trec"
    for stale in (".out.trec.17.tmp", ".out.trec.0123456789abcdef.tmp"):
        (tmp_path / stale).write_text("half a run")
    other = tmp_path / ".out.trec.notes.tmp"
    other.write_text("of somebody else")
    with replacing(path) as first:
        first("first\n")
        with replacing(path) as second:
            second("second\n")
        assert path.read_text() == "second\n"
    assert path.read_text() == "first\n" and sorted(tmp_path.iterdir()) == [other, path]


def test_a_name_of_255_bytes_can_be_written(tmp_path):
    path = tmp_path / ("x" * 255)
    with replacing(path) as write:
        write("line\n")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("at", ["its path", "its descriptor"])
def test_a_terminal_gets_no_control_characters_and_a_file_gets_what_is_there(tmp_path, at):
    text = "d1\u2066x\u2069\t\u202eb\u200f\n"
    master, terminal = os.openpty()
    with replacing(os.ttyname(terminal) if at == "its path" else f"/dev/fd/{terminal}") as write:
        write(text)
    assert os.read(master, 100).decode().splitlines() == ["d1\\u2066x\\u2069\t\\u202eb\\u200f"]
    with replacing(tmp_path / "file") as write:
        write(text)
    assert (tmp_path / "file").read_text() == text
    for descriptor in (master, terminal):
        os.close(descriptor)
