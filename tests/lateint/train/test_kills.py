"""Training that is killed anywhere: the same command ends with the bytes of a run that was not."""

import os
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from transformers import TrainerState

from lateint.errors import LateintError
from lateint.loading.load import load_model
from lateint.testing import tiny
from lateint.train.plan import TrainingPlan
from lateint.train.run import run_plan
from tests.support import students

FILES = ("model.safetensors", "lateint.safetensors", "lateint.json", "config.json", "tokenizer.json")


def plan():
    base = TrainingPlan.from_method("mice")
    stages = (replace(students.STAGE, train=("head", "layers")),)
    method = replace(base.method, stages=stages, offline_layers=2, query_layers=2)
    return replace(base, base=str(tiny.checkpoint("bert")), method=method, steps=(3,), save_every=1, **students.LENGTHS)


def at_the_last_rename():
    """Die before the encoder's configuration is renamed into place."""
    real = os.replace

    def replacing(source, target):
        if os.path.basename(target) == "config.json":
            os._exit(9)
        real(source, target)

    os.replace = replacing


def at_half_a_state():
    """Die in the middle of the second saved state's last file."""
    real, seen = TrainerState.save_to_json, []

    def saving(state, path):
        real(state, path)
        seen.append(path)
        if len(seen) == 2:
            os.truncate(path, os.path.getsize(path) // 2)
            os._exit(9)

    TrainerState.save_to_json = saving


DEATHS = {
    "in the middle of a state": at_half_a_state,
    "before the configuration of the encoder": at_the_last_rename,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread_and_no_curves():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with patch("lateint.train.run.write_png", lambda *_: False), patch("gc.collect"):  # they take longer than training
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "out"
    run_plan(plan(), [students.source()], folder)
    return {name: (folder / name).read_bytes() for name in FILES}


def killed(folder, arm):
    child = os.fork()
    if child == 0:
        arm()
        run_plan(plan(), [students.source()], folder)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("death", DEATHS)
def test_a_killed_run_ends_as_one_that_was_not(tmp_path, whole, death):
    folder = tmp_path / "out"
    assert killed(folder, DEATHS[death])
    with pytest.raises(LateintError):  # never another model
        load_model(folder)
    run_plan(plan(), [students.source()], folder)
    assert {name: (folder / name).read_bytes() for name in FILES} == whole
    assert {path.name for path in folder.iterdir()} == {*FILES, "tokenizer_config.json", "history.json"}
