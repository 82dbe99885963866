"""A resumed run ends like one that was never interrupted."""

import json
import os
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lateint.errors import InputError
from lateint.train.history import Step
from lateint.train.resume import StateKeeper, claim, keep_stage, release, restore_stage, saved_states
from tests.support import students
from tests.support.students import BLOCKS, STAGE


class Interrupted(Exception):
    pass


def interrupt_after(step, stage=0):
    def on_step(number, seen):
        if number == stage and seen.step == step:
            raise Interrupted

    return on_step


CLOSE = 1e-3  # frozen documents are encoded in other batches after a restart; Adam's first steps amplify last bits
STAGES = (replace(STAGE, train=("head", "layers")), STAGE)


@pytest.mark.parametrize(("stage", "step"), [(0, 0), (0, 3), (1, 2)])
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, stage, step):
    whole, cut = students.student(head=BLOCKS), students.student(head=BLOCKS)
    uninterrupted = students.run(whole, tmp_path / "whole", STAGES, steps=6)
    with pytest.raises(Interrupted):
        students.run(cut, tmp_path / "cut", STAGES, steps=6, save_every=2, on_step=interrupt_after(step, stage))
    again = students.student(head=BLOCKS)  # a new process starts from the same weights
    resumed = students.run(again, tmp_path / "cut", STAGES, steps=6, save_every=2)
    for ours, theirs in zip(resumed, uninterrupted, strict=True):
        assert [s.losses["listwise"] for s in ours] == pytest.approx([s.losses["listwise"] for s in theirs], abs=1e-4)
    compared = ["head.readout.weight"] if stage else whole.state_dict()
    for name in compared:
        assert torch.allclose(whole.state_dict()[name], again.state_dict()[name], atol=CLOSE if stage else 0, rtol=0), name


def test_another_seed_does_not_end_there(tmp_path):
    one, two = students.student(head=BLOCKS), students.student(head=BLOCKS)
    students.run(one, tmp_path / "one", STAGES, steps=6)
    students.run(two, tmp_path / "two", STAGES, steps=6, seed=1)
    assert not torch.allclose(one.head.readout.weight, two.head.readout.weight, atol=CLOSE, rtol=0)


def test_a_state_that_was_cut_off_while_it_was_written_is_passed_over(tmp_path):
    with pytest.raises(Interrupted):
        students.run(students.student(head=BLOCKS), tmp_path, steps=6, save_every=2, on_step=interrupt_after(4))
    (tmp_path / "stage0" / "checkpoint-4" / "trainer_state.json").unlink()
    student, whole = students.student(head=BLOCKS), students.student(head=BLOCKS)
    students.run(student, tmp_path, steps=6, save_every=2)
    students.run(whole, tmp_path / "whole", steps=6)
    assert torch.allclose(student.head.readout.weight, whole.head.readout.weight, atol=CLOSE, rtol=0)


def test_a_folder_belongs_to_one_run(tmp_path):
    settings = {"method": "mice", "seed": 0, "design": {"layers": (1, 2)}}
    assert claim(tmp_path, settings) is False
    assert claim(tmp_path, settings) is True
    with pytest.raises(InputError, match=r"another seed: 0, now 1"):
        claim(tmp_path, settings | {"seed": 1})


def test_a_run_that_was_killed_at_its_first_write_starts_over_and_a_damaged_one_is_named(tmp_path, monkeypatch):
    (tmp_path / "run.json").touch()
    assert not claim(tmp_path, {"base": "a"}) and claim(tmp_path, {"base": "a"})
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]
    (tmp_path / "stage0").mkdir()
    (tmp_path / "run.json").write_text("[")
    with pytest.raises(InputError, match=r"run\.json is damaged.* remove .* to start over"):
        claim(tmp_path, {"base": "a"})


def test_a_run_that_was_killed_while_its_states_were_removed_is_over(tmp_path, monkeypatch):
    def killed(*_):
        raise Interrupted

    folder = tmp_path / ".training"
    claim(folder, {"base": "a"})
    (folder / "stage0.json").write_text("[]")
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr("shutil.rmtree", killed)
        release(folder)
    assert not claim(folder, {"base": "b"}), "no part of the finished run is taken for an interrupted one"
    assert [path.name for path in tmp_path.iterdir()] == [".training"] and not (folder / "stage0.json").exists()


def test_a_state_without_its_mark_may_not_have_reached_the_disk(tmp_path):
    for step in (2, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").touch()
    StateKeeper().on_save(SimpleNamespace(output_dir=str(tmp_path)), SimpleNamespace(global_step=2), None)
    assert [state.name for state in saved_states(tmp_path)] == ["checkpoint-2"]


def test_settings_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    def killed(*_):
        raise Interrupted

    monkeypatch.setattr("pathlib.Path.replace", killed)
    with pytest.raises(Interrupted):
        claim(tmp_path, {"base": "a"})
    monkeypatch.undo()
    assert not (tmp_path / "run.json").exists()
    assert not claim(tmp_path, {"base": "b"})


def test_a_flipped_bit_in_a_finished_stage_is_found(tmp_path):
    model, steps = students.student(head=BLOCKS), [Step(0, 0.5, {"listwise": 0.5}, 1.0)]
    keep_stage(model, tmp_path, 0, steps)
    assert restore_stage(model, tmp_path, 0) == steps and restore_stage(model, tmp_path, 1) is None
    for name in ("stage0.safetensors", "stage0.json"):
        file = tmp_path / name
        sound, rng = file.read_bytes(), np.random.default_rng(len(name))
        for place in [*rng.integers(0, len(sound), 12).tolist(), len(sound) - 5]:
            data = bytearray(sound)
            data[place] ^= 1 << int(rng.integers(8))
            file.write_bytes(data)
            with pytest.raises(InputError, match=r"stage0\.json or the weights beside it are damaged.*to start over"):
                restore_stage(model, tmp_path, 0)
        file.write_bytes(sound)
    (tmp_path / "stage0.json").write_text(json.dumps([asdict(step) for step in steps]))
    assert restore_stage(model, tmp_path, 0) == steps, "as an earlier version wrote it"


@pytest.mark.parametrize("how", ["missing", "a pipe", "a link to nothing", "a folder"])
def test_states_without_settings_that_can_be_read_are_no_new_run(tmp_path, how):
    file = tmp_path / "run.json"
    (tmp_path / "stage0").mkdir()
    make = {
        "a pipe": os.mkfifo,
        "a link to nothing": lambda file: file.symlink_to("nothing"),
        "a folder": lambda file: file.mkdir(),
    }
    make.get(how, lambda file: None)(file)
    with pytest.raises(InputError, match=r"run\.json is damaged"):
        claim(tmp_path, {"base": "a"})


def test_a_saved_state_with_a_flipped_bit_or_without_a_file_is_passed_over(tmp_path):
    stage = tmp_path / "stage0"
    for step in (2, 4):
        (stage / f"checkpoint-{step}").mkdir(parents=True)
        for name in ("model.safetensors", "optimizer.pt", "trainer_state.json"):
            (stage / f"checkpoint-{step}" / name).write_bytes(name.encode() * step)
        StateKeeper().on_save(SimpleNamespace(output_dir=str(stage)), SimpleNamespace(global_step=step), None)
    newest = stage / "checkpoint-4"
    assert [state.name for state in saved_states(stage)] == ["checkpoint-4", "checkpoint-2"]
    for file in newest.iterdir():
        sound = file.read_bytes()
        for damaged in (sound[:-1], bytes([sound[0] ^ 1]) + sound[1:], None):
            file.unlink() if damaged is None else file.write_bytes(damaged)
            assert [state.name for state in saved_states(stage)] == ["checkpoint-2"], file.name
        file.write_bytes(sound)
    assert next(saved_states(stage)) == newest
