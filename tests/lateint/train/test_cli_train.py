"""Every preset through the command line: train, index, rank, evaluate, on the toy collection with a tiny encoder."""

import gzip
import json
import shutil

import pytest
import tiny
from commands import TOY

from lateint.presets import PRESETS

LENGTHS = ("--query-max-length", "24", "--doc-max-length", "48")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The toy collection as training data: its test split serves as train split here."""
    folder = tmp_path_factory.mktemp("data") / "toy"
    (folder / "qrels").mkdir(parents=True)
    (folder / "runs").mkdir()
    for name in ("corpus.jsonl", "queries.jsonl"):
        shutil.copy(TOY / name, folder / name)
    shutil.copy(TOY / "qrels" / "test.tsv", folder / "qrels" / "train.tsv")
    with gzip.open(folder / "runs" / "bm25.train.top15.trec.gz", "wt") as run:
        run.write((TOY / "run.beir.trec").read_text())
    return folder


@pytest.mark.parametrize("method", list(PRESETS))
def test_a_preset_trains_indexes_ranks_and_is_evaluated(method, data, tmp_path, call):
    base, model, store, run = tiny.checkpoint("bert"), tmp_path / "model", tmp_path / "store", tmp_path / "run.trec"
    teacher = ("--teacher", base) if method == "mice" else ()
    common = ("--method", method, "--base", base, "--data", data, "--steps", 2, *LENGTHS, *teacher)
    assert call("train", *common, "--output", model)[0] == 0
    history = json.loads((model / "history.json").read_text())
    assert [step["step"] for step in history[0]] == [0, 1]
    assert call("index", "--corpus", data / "corpus.jsonl", "--store", store, "--model", model)[0] == 0
    shared = ("--queries", data / "queries.jsonl", "--candidates", TOY / "run.beir.trec")
    assert call("rank", "--store", store, *shared, "--output", run)[0] == 0
    again = tmp_path / "again.trec"
    corpus = ("--corpus", data / "corpus.jsonl", "--model", model)
    assert call("rank", *corpus, *shared, "--output", again)[0] == 0
    stored, fresh = (dict(_scores(file)) for file in (run, again))
    assert stored.keys() == fresh.keys() and len(stored) > 250
    spread = max(stored.values()) - min(stored.values())
    assert max(abs(stored[key] - fresh[key]) for key in stored) <= 1e-3 * max(1.0, spread)  # float16 codes may flip
    code, out, _ = call("eval", "--qrels", TOY / "qrels" / "test.tsv", "--run", run, "--json")
    assert code == 0 and 0 < json.loads(out)["runs"][0]["measures"]["nDCG@10"]["mean"] < 1


def _scores(file):
    for line in file.read_text().splitlines():
        query, _, document, _, score, _ = line.split()
        yield (query, document), float(score)


def test_margin_mse_without_a_teacher_is_refused_before_anything_is_written(data, tmp_path, call):
    common = ("--method", "mice", "--base", tiny.checkpoint("bert"), "--data", data, "--steps", 1, *LENGTHS)
    code, _, err = call("train", *common, "--output", tmp_path / "out")
    assert code == 1 and "margin_mse" in err and "--teacher" in err
    assert not (tmp_path / "out").exists()


def test_a_recipe_and_a_method_exclude_each_other(data, tmp_path, call):
    code, _, err = call("train", "--data", data, "--output", tmp_path / "out")
    assert code == 2 and "--method and --recipe" in err
