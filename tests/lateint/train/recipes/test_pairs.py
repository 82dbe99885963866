"""The recipes of sentence pairs through the command line, from the teacher to its student, with a tiny encoder."""

import json

import pytest

from lateint.loading.load import load_model
from lateint.model.saving import save
from lateint.testing import tiny
from lateint.train.recipes.pairs import PAIR_RECIPES

LENGTHS = ("--query-max-length", "24", "--doc-max-length", "24")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    texts = tiny.texts(48, seed=8, longest=8)
    lines = [f"{texts[i]}\t{texts[i + i % 2]}\t{i // 2 % 2}\n" for i in range(47)]
    file = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    file.write_text("sentence1\tsentence2\tlabel\n" + "".join(lines))
    return file


def train(call, recipe, data, output, *more):
    common = ("--recipe", recipe, "--base", tiny.checkpoint("bert"), "--data", data, *LENGTHS, "--precision", "float32")
    return call("train", *common, "--steps", 3, "--output", output, *more)


def test_a_pair_teacher_and_its_student_are_trained_and_evaluated(pairs, tmp_path, call):
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    assert train(call, "pair_teacher", pairs, teacher)[0] == 0
    code, _, err = train(call, "pair_dse", pairs, student)
    assert code == 0 and "logit_mse" in err  # without a name it learns from itself, as from any start
    code, _, err = train(call, "pair_dse", pairs, tmp_path / "taught", "--teacher", teacher)
    assert code == 0, err
    assert (tmp_path / "taught" / "model.safetensors").read_bytes() != (student / "model.safetensors").read_bytes()
    for model in (teacher, tmp_path / "taught"):
        code, out, _ = call("eval-pairs", "--model", model, "--pairs", pairs, "--json")
        assert code == 0 and 0 < json.loads(out)["measures"]["AUC"]["value"] < 1


@pytest.mark.parametrize(("recipe", "depth"), [("hpd", 3), ("early_layers", 2)])
def test_vector_students_are_as_deep_as_their_recipe_says(recipe, depth, pairs, tmp_path, call):
    save(load_model(tiny.checkpoint("bert"), "cosine", query_max_length=24, doc_max_length=24), tmp_path / "encoder")
    code, _, err = train(call, recipe, pairs, tmp_path / "out", "--teacher", tmp_path / "encoder")
    assert code == 0, err
    method = json.loads((tmp_path / "out" / "lateint.json").read_text())["method"]
    assert {method[key] for key in ("offline_layers", "query_layers", "vector_layers")} == {depth}


def test_every_stage_has_its_steps():
    assert [recipe.name for recipe in PAIR_RECIPES] == ["pair_teacher", "pair_dse", "hpd", "early_layers"]
    assert all(len(recipe.steps) == len(recipe.method.stages) for recipe in PAIR_RECIPES)
