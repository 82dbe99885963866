"""Recipes are data that loads: every student of a teacher, on a tiny encoder, and what they share."""

from dataclasses import replace

import pytest

from lateint.errors import InputError
from lateint.loading.delta import save_delta
from lateint.loading.load import base_of, load_model
from lateint.methods.method import Method
from lateint.methods.registry import part
from lateint.model.saving import save
from lateint.testing import tiny
from lateint.train.recipes.named import RECIPES, recipe
from lateint.train.recipes.students import STUDENTS
from tests.support import students


def small(method):
    """The same method on texts that fit a tiny encoder, and heads that fit its four layers."""
    query, document = replace(method.query, max_length=32), replace(method.document, max_length=64)
    method = replace(method, query=query, document=document)
    if method.pool.name != "first":
        return method
    head = part(method.head.name, **(dict(method.head.settings) | {"document_tokens": 20}))
    return replace(method, pool=part("first", tokens=20), head=head)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_builds_a_model_with_as_many_budgets_as_stages(name):
    found = recipe(name)
    assert len(found.steps) == len(found.method.stages) and Method.from_json(found.method.to_json()) == found.method
    assert found.to_json()["name"] == name
    load_model(tiny.checkpoint("bert"), small(found.method))


def test_students_see_the_same_lists_so_that_one_file_of_scores_feeds_them_all():
    drawn = {
        (r.seed, r.spans, tuple(sorted(r.shares.items())), *((s.negatives, s.pool) for s in r.method.stages[-1:]))
        for r in STUDENTS
    }
    assert len(drawn) == 1 and {r.teacher for r in STUDENTS} == {"teacher"}


@pytest.mark.parametrize("student", STUDENTS, ids=lambda recipe: recipe.name)
def test_a_student_trains_and_ranks_in_its_first_steps(student, tmp_path):
    teacher = students.student("cross_encoder", depth=0)
    model = load_model(tiny.checkpoint("bert"), small(student.method))
    layout = {"query": model.method.query, "document": replace(model.method.document, positions="follow")}
    teacher = load_model(tiny.checkpoint("bert"), replace(teacher.method, **layout))
    history = students.run(model, tmp_path, model.method.stages, steps=2, teacher=teacher)
    assert [len(steps) for steps in history] == [2] * len(student.steps)
    assert history[-1][-1].total > 0


def test_a_recipe_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="there are: evidence, teacher"):
        recipe("nothing")


def test_the_base_of_a_delta_is_its_own_base_and_a_base_stands_for_itself(tmp_path):
    base = str(tiny.checkpoint("bert"))
    save_delta(students.student("mice"), tmp_path / "delta", base)
    save(students.student("mice"), tmp_path / "full")
    assert base_of(tmp_path / "delta") == base and base_of(base) == base
    assert base_of(tmp_path / "full") == str(tmp_path / "full") and base_of("all-MiniLM-L6-v2") == "all-MiniLM-L6-v2"
