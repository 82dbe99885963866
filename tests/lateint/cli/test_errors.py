"""Every exit code of the command line, one line for every error, and what stays unimported."""

import io
import os
import subprocess
import sys

import pytest

from lateint.cli.main import VERBS
from lateint.testing import tiny
from tests.support.commands import build, model
from tests.support.paths import TOY, python_environment


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build(tmp_path_factory.mktemp("cli"))


@pytest.mark.parametrize("name", ["", "x" * 300, "a/" * 3_000], ids=["empty", "long name", "long path"])
def test_a_name_that_no_file_has_is_one_line_for_every_option(call, tmp_path, store, name):
    collection, queries, run = TOY / "collection.tsv", TOY / "queries.tsv", TOY / "run.trec"
    stored, out = ["--store", store], ["--output", tmp_path / "out"]
    commands = (
        ["index", "--corpus", name, "--store", tmp_path / "s", *model()],
        ["index", "--corpus", collection, "--store", name, *model()],
        ["index", "--corpus", collection, "--store", tmp_path / "s", "--model", name],
        ["rank", *stored, "--queries", name, "--candidates", run, *out],
        ["rank", *stored, "--queries", queries, "--candidates", name, *out],
        ["rank", *stored, "--queries", queries, "--candidates", run, "--output", name],
        ["rank", *stored, "--queries", queries, "--candidates", run, *out, "--timing", name],
        ["retrieve", *stored, "--queries", queries, "--output", name],
        ["eval", "--qrels", name, "--run", run],
        ["eval", "--qrels", TOY / "qrels.tsv", "--run", name],
        ["eval-pairs", "--pairs", name, *model()],
        ["store", "info", name],
        ["store", "verify", name],
        ["store", "delete", store, "--ids-from", name],
        ["store", "recode", store, "--codecs", "vector=int4", "--output", name],
    )
    for command in commands:
        code, _, err = call(*command)
        assert code == 1 and err.count("\n") == 1, (command, err)
    assert not (tmp_path / "s").exists() and not (tmp_path / "out").exists()


def test_a_threshold_that_is_no_number_is_wrong_usage(call):
    for value in ("nan", "inf"):
        code, _, err = call("eval-pairs", "--pairs", TOY / "collection.tsv", "--threshold", value)
        assert code == 2 and "expected a finite number" in err


def test_a_repeated_id_is_refused_naming_both_lines(call, tmp_path, monkeypatch):
    corpus = tmp_path / "c.tsv"
    corpus.write_text("a\tbread\n\nb\tsalt\na\tstone\n")
    code, _, err = call("index", "--corpus", corpus, "--store", tmp_path / "s", *model())
    assert code == 1 and f"lateint: {corpus}: id 'a' stands in line 1 and in line 4" in err
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(corpus.read_bytes())))
    code, _, err = call("index", "--corpus", "-", "--store", tmp_path / "s", *model())
    assert code == 1 and "documents 0 and 2 have the same id 'a'" in err
    corpus.write_text("a\tbread\nb\tsalt\n")
    assert call("index", "--corpus", corpus, "--store", tmp_path / "s", *model())[0] == 0


def test_another_model_for_a_store_is_exit_code_3_with_both_names(call, tmp_path, store):
    other = model("electra")
    given = ["--queries", TOY / "queries.tsv", "--candidates", TOY / "run.trec", "--output", tmp_path / "r"]
    for command in (["index", "--corpus", TOY / "collection.tsv"], ["rank", *given]):
        code, out, err = call(*command, "--store", store, *other)
        assert (code, out) == (3, "") and str(tiny.checkpoint("bert")) in err and str(tiny.checkpoint("electra")) in err
    assert not (tmp_path / "r").exists()


def test_user_errors_are_one_line_and_exit_code_1(call, tmp_path, store):
    toy = ["--queries", TOY / "queries.tsv", "--candidates", TOY / "run.trec", "--output", tmp_path / "r"]
    for command in (
        ["index", "--corpus", tmp_path / "none.tsv", "--store", tmp_path / "s", *model()],
        ["index", "--corpus", TOY, "--store", tmp_path / "s", *model(), "--codecs", "states=gzip"],
        ["index", "--corpus", TOY, "--store", tmp_path / "s", "--model", tmp_path / "nobody"],
        ["index", "--corpus", TOY, "--store", tmp_path / "s", *model(), "--method", "prettr2"],
        ["rank", "--store", tmp_path / "nothing", *toy],
        ["rank", "--store", store, *toy[2:]],
        ["rank", "--corpus", TOY, *toy, *model()],
        ["rank", "--store", store, *toy, "--timing", tmp_path / "no" / "t.jsonl"],
        ["store", "info", tmp_path / "nothing"],
        ["store", "verify", tmp_path / "nothing"],
        ["eval", "--qrels", tmp_path / "none", "--run", tmp_path / "none"],
    ):
        code, out, err = call(*command)
        assert code == 1 and out == "" and err.startswith("lateint: ") and "Traceback" not in err, command


@pytest.mark.parametrize(
    "command", [["methods"], ["--help"], ["eval", "--qrels", str(TOY / "qrels.tsv"), "--run", str(TOY / "run.trec")]]
)
def test_output_on_a_full_disk_is_said_in_a_line_and_a_reader_that_went_away_is_not_mentioned(command):
    call = [sys.executable, "-c", "from lateint.cli.main import main; main()", *command]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(call, env=python_environment(), stdout=full, stderr=subprocess.PIPE, text=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith("lateint: no space to write the output")
    gone, pipe = os.pipe()
    os.close(gone)
    done = subprocess.run(call, env=python_environment(), stdout=pipe, stderr=subprocess.PIPE, text=True)
    os.close(pipe)
    assert done.stderr == "" and done.returncode == 0
    with open("/dev/null", "rb") as read_only:
        done = subprocess.run(call, env=python_environment(), stdout=read_only, stderr=subprocess.PIPE, text=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith("lateint: cannot write the output: Bad file descriptor")


@pytest.mark.parametrize(
    "command",
    [
        ["index"], ["index", "--corpus", "c", "--store", "s", "--shard", "2/2"], ["nothing"], ["store", "nothing"],
        ["index", "--corpus", "c", "--store", "s", "--shard", "x"], ["rank", "--candidates", "c"], ["store", "merge", "out"],
        ["rank", "--store", "s", "--corpus", "c", "--candidates", "r", "--output", "o"],
        ["rank", "--corpus", "-", "--candidates", "-", "--output", "o"], ["eval"],
        ["index", "--corpus", "c", "--store", "s", "--threads", "0"],
    ],
)  # fmt: skip
def test_usage_errors_are_exit_code_2(call, command):
    code, out, err = call(*command)
    assert code == 2 and out == "" and "Usage:" in err


def test_candidates_without_text_need_a_store_or_a_corpus(call, tmp_path):
    given = ["--queries", TOY / "queries.tsv", "--candidates", TOY / "run.trec", "--output", tmp_path / "r"]
    code, _, err = call("rank", *given, *model())
    assert code == 2 and "give --store or --corpus" in err and not (tmp_path / "r").exists()


def test_lengths_without_a_model_are_refused_where_the_store_has_its_own(call, tmp_path, store):
    given = ["--queries", TOY / "queries.tsv", "--candidates", TOY / "run.trec", "--output", tmp_path / "r"]
    code, _, err = call("rank", "--store", store, *given, "--doc-max-length", "48")
    assert code == 2 and "--doc-max-length belongs to --model" in err


def test_an_interruption_is_exit_code_130(call, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("lateint.cli.corpus.read_documents", interrupted)
    code, _, err = call("index", "--corpus", TOY, "--store", tmp_path / "s", *model())
    assert code == 130 and "the same command continues" in err


def loaded_by(*arguments, before=""):
    code = (
        f"import sys\n{before}\nfrom lateint.cli.main import run\ncode = run({[str(each) for each in arguments]!r})\n"
        "print('MODULES', code, *{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], env=python_environment(), capture_output=True, text=True, check=True)
    out, _, modules = done.stdout.rpartition("MODULES ")
    return out + done.stderr, int(modules.split()[0]), set(modules.split()[1:])


def test_what_answers_at_once_imports_nothing_heavy(store):
    evaluate = ["eval", "--qrels", TOY / "qrels.tsv", "--run", TOY / "run.trec"]
    for command in (
        ["--help"], ["--version"], ["eval", "--help"], ["index", "--help"], ["rank", "--help"], ["store", "--help"],
        ["store", "info", store], ["store", "verify", store], ["methods"], evaluate,
    ):  # fmt: skip
        _, code, modules = loaded_by(*command)
        assert code == 0 and not modules & {"torch", "transformers", "numba"}, command


def test_help_names_every_verb(call):
    code, out, _ = call("--help")
    assert code == 0 and all(f"\n  {verb} " in out for verb in VERBS)


def test_a_missing_extra_prints_the_pip_line():
    block = "sys.modules['ir_measures'] = None"
    out, code, _ = loaded_by("eval", "--qrels", TOY / "qrels.tsv", "--run", TOY / "run.trec", before=block)
    assert code == 1 and "pip install 'lateint[eval]'" in out and "Traceback" not in out
