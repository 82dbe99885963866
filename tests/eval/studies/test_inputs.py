"""A study notices that what its finished points were measured on has changed."""

import contextlib
import json
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from lateint.errors import InputError
from lateint.loading.load import load_model
from lateint.testing import tiny
from lateint_eval.studies.run import run_study
from lateint_eval.studies.spec import Data, Grid, Study
from tests.support.paths import TOY

NAMES = {"corpus": "collection.tsv", "queries": "queries.tsv", "qrels": "qrels.tsv", "run": "run.trec"}
LENGTHS = {"doc_max_length": (48,), "query_max_length": (24,)}


def study(**changes):
    """A study of files in the current folder."""
    settings = {"codecs": ("states=int8",), "depth": (3,)} | changes
    return Study(data=(Data(name="toy", **NAMES),), grids=(Grid(model="./model", method=("prettr",), **settings, **LENGTHS),))


def run(folder="out", **changes):
    return run_study(study(**changes), Path(folder), lambda line: None)


@pytest.fixture(scope="module", autouse=True)
def no_drawings():
    with patch("lateint_eval.studies.run.render", lambda found: "page"):  # they take longer than all else
        yield


@pytest.fixture(scope="module")
def model():
    return load_model(tiny.checkpoint("bert"), method="prettr", query_max_length=24, doc_max_length=48)


@pytest.fixture(scope="module")
def finished(no_drawings, model, tmp_path_factory):
    """Three queries, a model, and a finished study of them."""
    home = tmp_path_factory.mktemp("inputs")
    for name in NAMES.values():
        shutil.copy(TOY / name, home)
    lines = (TOY / "queries.tsv").read_text().splitlines(keepends=True)
    (home / "queries.tsv").write_text("".join(lines[:3]))
    model.save_pretrained(home / "model")
    with contextlib.chdir(home):
        run()
    return home


@pytest.fixture
def home(finished, tmp_path, monkeypatch):
    """A copy with the finished study, as the current folder."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def retrain(home):
    model = load_model(home / "model")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.01)
    shutil.rmtree(home / "model")
    model.save_pretrained(home / "model")


def first(home, name, column):
    return (home / name).read_text().splitlines()[0].split("\t" if name == "queries.tsv" else None)[column]


CHANGES = {
    "the judgements of data 'toy'": lambda home: (home / "qrels.tsv").write_text(
        "".join(line.rsplit(None, 1)[0] + "\t2\n" for line in (home / "qrels.tsv").read_text().splitlines())
    ),
    "the queries of data 'toy'": lambda home: edit(home / "queries.tsv", first(home, "queries.tsv", 1), "salt and bread"),
    "the candidates of data 'toy'": lambda home: edit(home / "run.trec", *swapped(home)),
    "the texts of data 'toy'": lambda home: (home / "collection.tsv").write_text(
        (home / "collection.tsv").read_text().replace("\t", "\tsalt ")
    ),
    "the model": retrain,
}


def swapped(home):
    """The first two lines of the run, and the same with their documents exchanged."""
    lines = (home / "run.trec").read_text().splitlines()[:2]
    (a, b) = (line.split() for line in lines)
    a[2], b[2] = b[2], a[2]
    return "\n".join(lines), "\n".join(" ".join(fields) for fields in (a, b))


@pytest.mark.parametrize("what", CHANGES)
def test_changed_inputs_are_named_and_the_results_stay(home, model, what, monkeypatch):
    CHANGES[what](home)
    if what != "the model":
        monkeypatch.setattr("lateint_eval.studies.runner._load", lambda point: model)  # saves loading it
    before = (home / "out" / "results.json").read_bytes()
    with pytest.raises(InputError, match=rf"^{what} changed after the point 'prettr' was measured \[.* choose another folder"):
        run()
    assert (home / "out" / "results.json").read_bytes() == before


def test_what_no_point_reads_may_change_and_the_depth_of_other_points_too(home):
    (point,) = (home / "out" / "points").iterdir()
    before = point.read_bytes(), point.stat().st_mtime_ns
    with (home / "qrels.tsv").open("a") as qrels, (home / "collection.tsv").open("a") as corpus:
        qrels.write("other 0 other 1\n")
        corpus.write("other\tsalt\n")
    run(depth=(2, 3))
    assert (point.read_bytes(), point.stat().st_mtime_ns) == before


def test_points_without_digests_are_measured_anew(home):
    (point,) = (home / "out" / "points").iterdir()
    found = json.loads(point.read_text())
    point.write_text(json.dumps({key: value for key, value in found["point"].items() if key != "inputs"}))
    CHANGES["the judgements of data 'toy'"](home)
    run()
    before, again = found["point"], json.loads(point.read_text())["point"]
    assert again["inputs"]["model"] == before["inputs"]["model"] and again["inputs"] != before["inputs"]
    assert again["results"] != before["results"]


def test_stores_of_other_weights_or_texts_are_not_reused(home, monkeypatch):
    """Interrupted behind the encoding of documents: the stores are there, and no point."""

    class Interrupted(Exception):
        pass

    def interrupted(*_):
        raise Interrupted

    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr("lateint_eval.studies.runner._measure", interrupted)
        run("cut")
    retrain(home)
    CHANGES["the texts of data 'toy'"](home)
    (results,) = run("cut")["points"]
    assert results["results"] == run("new")["points"][0]["results"]
