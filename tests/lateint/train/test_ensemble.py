"""Several teachers on one scale: a plain computation of the sum, and a training run that keeps the scores of each."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.cli.main import run
from lateint.errors import InputError
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.testing import tiny
from lateint.train.data import Sampler
from lateint.train.features import Live
from lateint.train.plan import TrainingPlan
from lateint.train.run import run_plan
from lateint.train.scores import Scores, identity
from lateint.train.teacher import Ensemble, Teacher, combined, load_teachers
from tests.support import students

FIRST, SECOND = torch.tensor([4.0, -2.0, 0.5, 1.0]), torch.tensor([0.1, 0.9, 0.3, 0.4])


def scale(scores):
    return (scores - scores.mean()) / scores.std(ddof=1)


def test_scores_are_added_on_one_scale_and_come_back_on_the_first():
    first, second = FIRST.double().numpy(), SECOND.double().numpy()
    oracle = first.mean() + first.std(ddof=1) * (0.7 * scale(first) + 0.3 * scale(second))
    np.testing.assert_allclose(combined([(FIRST, 0.7), (SECOND, 0.3)]).numpy(), oracle, atol=1e-5)
    torch.testing.assert_close(combined([(FIRST, 0.7), (1000 * SECOND - 5, 0.3)]), combined([(FIRST, 0.7), (SECOND, 0.3)]))
    assert np.abs(combined([(FIRST, 0.3), (SECOND, 0.7)]).numpy() - oracle).max() > 0.1


def test_the_first_teacher_decides_where_there_is_no_deviation():
    assert torch.equal(combined([(FIRST[:1], 0.5), (SECOND[:1], 0.5)]), FIRST[:1])
    assert torch.equal(combined([(FIRST, 0.5), (torch.ones(4), 0.5)]), FIRST)


def test_an_ensemble_combines_what_its_members_give_each_list():
    models = [load_model(tiny.checkpoint("bert", 1), method, **students.LENGTHS) for method in ("cross_encoder", "cosine")]
    sampler = Sampler([students.source()], 3)
    drawn = [sampler.example(i) for i in range(2)]
    teachers = [Teacher(model, model, Live(model)) for model in models]
    found = Ensemble(teachers[0], [(teachers[1], 0.4)]).score(drawn)
    every = [teacher.score(drawn) for teacher in teachers]
    for scores, ours, theirs in zip(found, *every, strict=True):
        torch.testing.assert_close(scores, combined([(ours, 0.6), (theirs, 0.4)]))
        assert not torch.allclose(scores, ours)


def plan(tmp_path, **changes):
    stage = replace(students.STAGE, losses=((part("kl"), 1.0),), queries=2)
    method = replace(preset("cosine"), stages=(replace(stage, train=("layers",)),))
    settings = {"teacher": str(tiny.checkpoint("bert", 1)), "partners": ((str(tiny.checkpoint("bert")), 0.4),)} | changes
    return replace(
        TrainingPlan.from_method(method), base=str(tiny.checkpoint("bert")), steps=(2,), **students.LENGTHS,
        scores=str(tmp_path / "scores"), save_every=1, **settings,
    )  # fmt: skip


def test_a_run_keeps_the_scores_of_each_teacher(tmp_path):
    chosen = plan(tmp_path)
    run_plan(chosen, [students.source()], tmp_path / "out")
    kept = []
    for name, teacher in zip(("scores", "scores-2"), load_teachers(chosen), strict=True):
        with Scores(tmp_path / name, identity(teacher)) as scores:
            kept.append(len(scores))
    assert kept[0] == kept[1] > 5
    assert "partners" not in replace(chosen, partners=()).facts(chosen.load_student())  # runs from before it can be resumed
    assert plan(tmp_path).facts(chosen.load_student())["partners"] == chosen.partners


@pytest.mark.parametrize("shares", [(0.0,), (1.0,), (-0.1,), (0.6, 0.4), (float("nan"),)])
def test_shares_that_leave_the_teacher_none_are_refused(tmp_path, shares):
    with pytest.raises(InputError, match="shares"):
        plan(tmp_path, partners=tuple(("model", share) for share in shares)).check()
    with pytest.raises(InputError, match="name the teacher"):
        plan(tmp_path, teacher=None).check()


@pytest.mark.parametrize("text", ["encoder", "=0.4", "encoder=half"])
def test_a_partner_without_a_share_is_a_usage_error(text, capsys):
    assert run(["train", "--method", "cosine", "--data", "x", "--output", "y", "--teacher", "t", "--partner", text]) == 2
    assert "expected a model and its share" in capsys.readouterr().err
