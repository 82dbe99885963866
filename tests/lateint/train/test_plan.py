"""A training plan: made alike by Python and the command line, and run from either."""

import json
from dataclasses import replace

import pytest

from lateint.cli.main import run
from lateint.errors import InputError
from lateint.loading.load import load_model
from lateint.methods.presets import preset
from lateint.testing import tiny
from lateint.train.plan import TrainingPlan
from lateint.train.progress import TrainingProgress
from lateint.train.recipes.named import recipe
from lateint.train.run import run_plan
from tests.support import students
from tests.support.students import LENGTHS


class Recorder(TrainingProgress):
    def __init__(self):
        self.events = []

    def resumed(self, folder):
        self.events.append("resumed")

    def initialised(self, qualities):
        self.events.append("initialised")

    def step(self, stage, step):
        self.events.append((stage, step.step))

    def trained(self, history):
        self.events.append("trained")


class Stopped(Exception):
    pass


class Stopping(TrainingProgress):
    def step(self, stage, step):
        if step.step == 1:
            raise Stopped


@pytest.fixture
def tiny_plan():
    base = str(tiny.checkpoint("bert"))
    return replace(TrainingPlan.from_method("mores"), base=base, data=("toy",), **LENGTHS).with_steps(2)


def test_a_method_trains_from_python_and_the_checkpoint_holds_the_trained_model(tmp_path, tiny_plan):
    progress = Recorder()
    result = run_plan(tiny_plan, [students.source()], tmp_path / "out", progress)
    assert progress.events == ["initialised", (0, 0), (0, 1), "trained"]
    assert [len(steps) for steps in result.history] == [2] and result.has_curves
    loaded = load_model(str(tmp_path / "out"))
    assert loaded.method == result.model.method
    for name, tensor in result.model.state_dict().items():
        assert loaded.state_dict()[name].equal(tensor), name
    assert not (tmp_path / "out" / ".training").exists()


def test_an_interrupted_plan_resumes_and_another_plan_does_not_resume_it(tmp_path, tiny_plan):
    plan = replace(tiny_plan, save_every=1)
    with pytest.raises(Stopped):
        run_plan(plan, [students.source()], tmp_path, Stopping())
    with pytest.raises(InputError, match="holds an interrupted run with another seed: 0, now 1"):
        run_plan(replace(plan, seed=1), [students.source()], tmp_path)
    with pytest.raises(InputError, match=r"another steps: \[2\], now \[3\]"):
        run_plan(plan.with_steps(3), [students.source()], tmp_path)
    progress = Recorder()
    run_plan(plan, lambda: [students.source()], tmp_path, progress)
    assert progress.events == ["resumed", "initialised", (0, 1), "trained"]
    assert len(json.loads((tmp_path / "history.json").read_text())[0]) == 2


def planned(monkeypatch, *options):
    """The plan that the command line makes of these options."""
    plans = []

    def record(plan, sources, output, progress):
        plans.append(plan)
        raise InputError("only the plan is wanted")

    monkeypatch.setattr("lateint.train.run.run_plan", record)
    assert run(["train", "--output", "out", *options]) == 1
    return plans[0]


def test_the_command_line_and_python_make_equal_plans(monkeypatch):
    given = ["--method", "mice", "--data", "a", "--data", "b", "--steps", "7", "--teacher", "default", "--scores", "kept"]
    more = ["--offline-layers", "T-2", "--doc-max-length", "64", "--precision", "bfloat16", "--full", "--seed", "3"]
    made = replace(
        TrainingPlan.from_method("mice").with_steps(7),
        data=("a", "b"),
        teacher="default",
        scores="kept",
        offline_layers="T-2",
        doc_max_length=64,
        precision="bfloat16",
        delta=False,
        seed=3,
    )
    assert planned(monkeypatch, *given, *more) == made


def test_a_recipe_makes_the_same_plan_in_both_and_options_replace_what_it_says(monkeypatch):
    latent = TrainingPlan.from_recipe("latent")
    given = ("--recipe", "latent", "--data", "squad")
    assert planned(monkeypatch, *given) == replace(latent, data=("squad",))
    assert (latent.teacher, latent.weights, latent.steps) == ("ms-marco-MiniLM-L12-v2", "int8", recipe("latent").steps)
    assert latent.partners == (("answerai-colbert-small-v1", 0.6),) and latent.delta is False and not latent.saves_delta
    other = planned(
        monkeypatch, "--recipe", "latent", "--data", "squad", "--steps", "3", "--teacher", "default", "--spans", "5"
    )
    assert other == replace(latent, data=("squad",), teacher="default", spans=5).with_steps(3)


def test_settings_that_contradict_each_other_are_refused(tiny_plan):
    for odd, reason in (
        (replace(tiny_plan, steps=(1, 2)), "steps for 2 stages; method 'mores' has 1"),
        (replace(tiny_plan, scores="kept"), "name the teacher"),
    ):
        with pytest.raises(InputError, match=reason):
            odd.check()
    assert TrainingPlan.from_method(preset("mores")).method == tiny_plan.method


def test_an_unknown_method_or_recipe_is_refused():
    with pytest.raises(InputError, match="no method is called"):
        TrainingPlan.from_method("prettr2")
    with pytest.raises(InputError, match="no recipe is called"):
        TrainingPlan.from_recipe("prettr2")
