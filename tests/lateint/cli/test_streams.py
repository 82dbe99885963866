"""Pipes as corpora and outputs: read once, complete or said to be in doubt, written in UTF-8."""

import io
import os
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from lateint.cli.main import main
from tests.support import processes
from tests.support.commands import DOCUMENTS, build, info, model, run_lines
from tests.support.paths import TOY

COLLECTION = (TOY / "collection.tsv").read_bytes()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build(tmp_path_factory.mktemp("streams"))


@pytest.fixture
def piped(call, tmp_path):
    """Call with the path of a pipe, `PIPE`, that delivers these bytes once."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def run(content, *arguments):
        if "PIPE" not in arguments:
            return call(*arguments)
        with ThreadPoolExecutor() as pool:
            pool.submit(path.write_bytes, content)
            try:
                return call(*(path if each == "PIPE" else each for each in arguments))
            finally:
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # lets go of a writer that nobody has read

    return run


@pytest.mark.parametrize("options", [["--allow-eof"], ["--documents", str(DOCUMENTS), "--progress", "--yes"]])
def test_a_pipe_is_read_once_and_holds_the_whole_corpus(call, piped, tmp_path, store, options):
    code, _, err = piped(COLLECTION, "index", "--corpus", "PIPE", "--store", tmp_path / "s", *model(), *options)
    assert code == 0, err
    assert info(call, tmp_path / "s")["content_digest"] == info(call, store)["content_digest"]


def test_a_pipe_whose_command_may_have_failed_is_no_finished_corpus(call, piped, tmp_path):
    half = b"".join(COLLECTION.splitlines(keepends=True)[:3])
    index = ["index", "--corpus", "PIPE", "--store", tmp_path / "s", *model()]
    code, _, err = piped(half, *index)
    assert code == 1 and "ended after 3 documents, which are stored" in err and "--allow-eof" in err
    assert info(call, tmp_path / "s")["documents"] == 3
    code, _, err = piped(half, *index, "--documents", "4")
    assert code == 1 and "has 3 documents; expected 4" in err
    assert piped(half, *index, "--documents", "3")[0] == 0
    code, _, err = piped(b"new\tanother text\n", "store", "add", tmp_path / "s", "--corpus", "PIPE")
    assert code == 1 and "ended after 1 documents" in err and info(call, tmp_path / "s")["documents"] == 4
    whole = ["store", "add", tmp_path / "s", "--corpus", "PIPE", "--allow-eof"]  # the command that the message names
    code, _, err = piped(b"new\tanother text\nmore\tsalt\n", *whole)
    assert code == 0 and "5 documents" in err and "1 of them new" in err
    code, _, err = piped(b"new\tanother text\nmore\tsalt\n", *whole)
    assert code == 0 and "5 documents" in err and "0 of them new" in err
    assert piped(b"new\tanother text\nmore\tpepper\n", *whole)[0] == 1


def test_a_document_that_a_dead_command_cut_is_not_stored(call, piped, tmp_path):
    code, _, err = piped(COLLECTION.rstrip(b"\n")[:-5], "index", "--corpus", "PIPE", "--store", tmp_path / "s", *model())
    assert code == 1 and f"line {DOCUMENTS}: the input ends inside this line" in err


def test_a_corpus_without_documents_makes_no_store(call, piped, tmp_path):
    (tmp_path / "empty.tsv").touch()
    for path in (tmp_path / "empty.tsv", "PIPE", "/dev/null"):
        code, _, err = piped(b"", "index", "--corpus", path, "--store", tmp_path / "s", *model())
        assert code == 1 and "holds no document" in err
        assert not (tmp_path / "s").exists()


def test_an_archive_is_refused_before_anything_is_stored(call, tmp_path):
    with tarfile.open(tmp_path / "collection.tar.gz", "w:gz") as archive:
        archive.add(TOY / "collection.tsv", "collection.tsv")
    code, _, err = call("index", "--yes", "--corpus", tmp_path / "collection.tar.gz", "--store", tmp_path / "s", *model())
    assert code == 1 and "is a tar archive" in err and "tar -xf" in err and not (tmp_path / "s").exists()


def test_one_file_is_not_written_for_two_options(call, tmp_path, store):
    given = ["--store", store, "--queries", TOY / "queries.tsv"]
    ranked = ["rank", *given, "--candidates", TOY / "run.trec"]
    (tmp_path / "link").symlink_to("out")
    for output, timing in ((tmp_path / "out", tmp_path / "out"), (tmp_path / "out", tmp_path / "link"), ("-", "/dev/stdout")):
        code, _, err = call(*ranked, "--output", output, "--timing", timing)
        assert code == 2 and "--output and --timing write to one place" in err
    file = tmp_path / "out"
    code, _, err = call("retrieve", *given, "--index", "hnsw", "--index-file", file, "--output", file)
    assert code == 2 and "--output and --index-file write to one place" in err and not file.exists()
    assert call(*ranked, "--output", "/dev/null", "--timing", "/dev/null")[0] == 0


def test_one_stream_is_not_read_for_two_options(call, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for stream in ("-", tmp_path / "pipe"):
        code, _, err = call("eval", "--qrels", stream, "--run", stream)
        assert code == 2 and "can be read once" in err


def test_candidates_of_a_pipe_are_checked_and_ranked(piped, tmp_path, store):
    run = (TOY / "run.trec").read_bytes()
    given = ["--store", store, "--queries", TOY / "queries.tsv", "--candidates", "PIPE"]
    assert piped(run, "rank", *given, "--output", tmp_path / "piped")[0] == 0
    given[-1] = TOY / "run.trec"
    assert piped(b"", "rank", *given, "--output", tmp_path / "plain")[0] == 0
    assert run_lines(tmp_path / "piped") == run_lines(tmp_path / "plain")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("output", ["-", "/dev/stdout", "/dev/fd/1"])
def test_standard_output_is_utf8_whatever_the_locale(monkeypatch, output, encoding):
    from lateint_eval.formats import write_run

    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    write_run(output, {"q1": [("café", 1.0)]})
    sys.stdout.flush()
    assert written.getvalue() == "q1 Q0 café 1 1 lateint\n".encode()


def test_other_open_descriptors_are_written_to(tmp_path):
    from lateint_eval.formats import write_run

    reader, writer = os.pipe()
    write_run(f"/dev/fd/{writer}", {"q1": [("d", 1.0)]})
    os.close(writer)
    assert os.read(reader, 100) == b"q1 Q0 d 1 1 lateint\n"
    os.close(reader)


def test_the_limit_of_lines_is_an_option(call, tmp_path):
    (tmp_path / "long.tsv").write_text("q\t" + "x" * (2 << 20) + "\n")
    command = ["retrieve", "--store", tmp_path / "none", "--queries", tmp_path / "long.tsv", "--output", tmp_path / "r"]
    code, _, err = call("--line-limit", "1", *command)
    assert code == 1 and "line 1: more than 1 MiB" in err and "--line-limit" in err
    assert "no store" in call(*command)[2]


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf1\r\n2\r\n", b"2\n1"])
def test_ids_to_delete_are_read_as_all_lines_are(call, tmp_path, content):
    store = build(tmp_path)
    (tmp_path / "ids").write_bytes(content)
    assert call("store", "delete", store, "--ids-from", tmp_path / "ids")[0] == 0
    assert info(call, store)["documents"] == DOCUMENTS - 2
    (tmp_path / "ids").write_bytes(b"3\ncaf\xe9\n")
    code, _, err = call("store", "delete", store, "--ids-from", tmp_path / "ids")
    assert code == 1 and "line 2: not UTF-8" in err and info(call, store)["documents"] == DOCUMENTS - 2


@pytest.mark.parametrize("device", ["cuda", "gpu", "auto", "cuda:99"])
def test_a_device_that_is_not_there_is_one_line(call, tmp_path, device):
    code, _, err = call("index", "--corpus", TOY, "--store", tmp_path / "s", *model(), "--device", device)
    assert code == 1 and f"device '{device}' cannot be used" in err and "cpu" in err and len(err.splitlines()) == 1


def closed(command):
    """What a command ends with, and what its streams are, if all were closed when it began, as `>&-` does."""
    for descriptor in range(3):
        os.close(descriptor)
    sys.stdin = sys.stdout = sys.stderr = None  # as Python starts then
    try:
        main(command)
    except SystemExit as end:
        return end.code, [os.readlink(f"/proc/self/fd/{descriptor}") for descriptor in range(3)]


@pytest.mark.parametrize(("command", "code"), [(["methods"], 0), (["store", "info", "/nothing"], 1)])
def test_closed_streams_lead_nowhere_and_no_file_takes_their_place(command, code):
    assert processes.call(closed, command) == (code, ["/dev/null"] * 3)
