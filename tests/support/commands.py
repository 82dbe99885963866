"""For tests of the command line: the toy collection, a tiny model, and a finished store."""

import json
from pathlib import Path

from lateint.cli.main import run
from lateint.testing import tiny
from tests.support.paths import TOY

METHOD = ["--method", "prettr", "--query-max-length", "24", "--doc-max-length", "48"]
DOCUMENTS = len((TOY / "corpus.jsonl").read_text().splitlines())


def model(family="bert"):
    """Options for a tiny model."""
    return ["--model", str(tiny.checkpoint(family)), *METHOD]


def build(folder):
    """A finished store of the toy corpus in MS MARCO's layout."""
    assert run(["index", "--corpus", str(TOY / "collection.tsv"), "--store", str(folder / "store"), *model()]) == 0
    return folder / "store"


def info(call, path):
    """The output of `store info`."""
    code, out, err = call("store", "info", path, "--json")
    assert code == 0 and err == ""
    return json.loads(out)


def run_lines(path):
    """The fields of every line of a run file."""
    return [line.split() for line in Path(path).read_text().splitlines()]
