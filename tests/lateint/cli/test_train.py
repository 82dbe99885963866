"""Trains, indexes, ranks and evaluates every preset from the command line, on the toy collection with a tiny encoder."""

import json
import shutil

import pytest

from lateint.loading.load import load_model
from lateint.methods.presets import PRESETS
from lateint.testing import tiny
from tests.support.paths import TOY

LENGTHS = ("--query-max-length", "24", "--doc-max-length", "48")


def classifier(tmp_path, data, call):
    """A cross-encoder as a transformers checkpoint: loaded unsplit when it teaches."""
    return tiny.checkpoint("bert")


def vectors(tmp_path, data, call):
    """A sentence encoder, trained for a step."""
    folder = tmp_path / "teacher"
    common = ("--method", "cosine", "--base", tiny.checkpoint("bert"), "--data", data, "--steps", 1, *LENGTHS)
    assert call("train", *common, "--output", folder)[0] == 0
    return folder


TEACHERS = dict.fromkeys(("mice", "sdr", "deformer", "dipair", "dse", "early_layers"), classifier) | {"hpd": vectors}


@pytest.mark.parametrize("method", list(PRESETS))
def test_a_preset_trains_indexes_ranks_and_is_evaluated(method, data, tmp_path, call):
    base, model, store, run = tiny.checkpoint("bert"), tmp_path / "model", tmp_path / "store", tmp_path / "run.trec"
    teacher = ("--teacher", TEACHERS[method](tmp_path, data, call)) if method in TEACHERS else ()
    common = ("--method", method, "--base", base, "--data", data, "--steps", 2, *LENGTHS, *teacher)
    code, _, err = call("train", *common, "--output", model)
    assert code == 0, err
    history = json.loads((model / "history.json").read_text())
    assert [step["step"] for step in history[-1]] == [0, 1] and (model / "history.png").stat().st_size > 10_000
    assert not (model / ".training").exists()
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


def test_hpd_learns_from_texts_alone_to_the_depth_that_is_asked_for(tmp_path, data, call):
    texts, common = tmp_path / "texts.txt", ("--base", tiny.checkpoint("bert"), *LENGTHS)
    texts.write_text("".join(f"{text}\n" for text in tiny.texts(12, seed=3, longest=8)))
    teacher = vectors(tmp_path, data, call)
    common = (*common, "--data", texts, "--steps", 2, "--output", tmp_path / "model")
    code, _, err = call("train", "--method", "hpd", *common, "--teacher", teacher, "--offline-layers", 2)
    assert code == 0 and "projected_mse" in err, err
    method = json.loads((tmp_path / "model" / "lateint.json").read_text())["method"]
    assert [method[depth] for depth in ("offline_layers", "query_layers", "vector_layers")] == [2, 2, 2]


def test_all_weights_in_int8_need_no_base(tmp_path, data, call):
    base, model = shutil.copytree(tiny.checkpoint("bert"), tmp_path / "base"), tmp_path / "model"
    common = ("--method", "cosine", "--base", base, "--data", data, "--steps", 1, *LENGTHS)
    code, _, err = call("train", *common, "--full", "--weights", "int8", "--output", model)
    assert code == 0 and f"saved {model}" in err
    shutil.rmtree(base)
    assert not (model / "model.safetensors").exists() and load_model(model).method.name == "cosine"


def test_texts_alone_are_refused_where_candidates_are_compared(tmp_path, call):
    texts = tmp_path / "texts.txt"
    texts.write_text("bread and salt\nwheel and oil\n")
    common = ("--method", "cosine", "--base", tiny.checkpoint("bert"), *LENGTHS, "--data", texts, "--steps", 1)
    code, _, err = call("train", *common, "--output", tmp_path / "out")
    assert code == 1 and "texts.txt holds texts alone" in err and "'listwise'" in err
    assert not (tmp_path / "out").exists()


def test_margin_mse_without_a_teacher_is_refused_before_anything_is_written(data, tmp_path, call):
    common = ("--method", "mice", "--base", tiny.checkpoint("bert"), "--data", data, "--steps", 1, *LENGTHS)
    code, _, err = call("train", *common, "--output", tmp_path / "out")
    assert code == 1 and "margin_mse" in err and "--teacher" in err
    assert not (tmp_path / "out").exists()


def test_a_recipe_and_a_method_exclude_each_other(data, tmp_path, call):
    code, _, err = call("train", "--data", data, "--output", tmp_path / "out")
    assert code == 2 and "--method and --recipe" in err
