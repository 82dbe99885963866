"""The diary of a stage: what counts as time, and what a saved state gives back."""

import json

from transformers import TrainerControl, TrainerState

from lateint.train.budget import Budget
from lateint.train.history import Diary, Step, steps_before

STEPS = [Step(0, 1.5, {"listwise": 1.0, "kl": 0.25}, 2.0), Step(1, 1.25, {"listwise": 0.75, "kl": 0.25}, 4.0)]


def test_what_is_fitted_before_the_first_step_is_not_on_the_budget():
    diary = Diary(Budget(10, minutes=1), None)
    diary.started -= 3600  # an hour of fitting
    assert diary.share(0) == 1
    diary.on_train_begin(None, None, None)
    assert diary.share(0) < 0.5


def test_a_saved_state_gives_back_the_steps_and_their_time_counts(tmp_path):
    written = {"stateful_callbacks": {"Diary": Diary(Budget(10), None, STEPS).state()}}
    (tmp_path / "trainer_state.json").write_text(json.dumps(written))
    assert steps_before(tmp_path) == STEPS
    assert Diary(Budget(10), None, STEPS).seconds >= 4 > Diary(Budget(10), None).seconds


def test_a_step_is_written_down_and_told_and_the_last_of_the_budget_ends_the_stage():
    told, control = [], TrainerControl()
    diary = Diary(Budget(2), told.append)
    for number, step in enumerate(STEPS):
        assert not control.should_training_stop
        diary.pending = (step.total, step.losses)
        diary.on_step_end(None, TrainerState(global_step=number + 1), control)
    assert control.should_training_stop and told == diary.steps
    assert [(step.step, step.total, step.losses) for step in told] == [(s.step, s.total, s.losses) for s in STEPS]
