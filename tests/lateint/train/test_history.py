"""The history of a stage: which time counts, and what a saved state gives back."""

import json

from transformers import TrainerControl, TrainerState

from lateint.train.history import StageHistory, Step, saved_steps
from lateint.train.plan import Budget

STEPS = [Step(0, 1.5, {"listwise": 1.0, "kl": 0.25}, 2.0), Step(1, 1.25, {"listwise": 0.75, "kl": 0.25}, 4.0)]


def test_fitting_before_the_first_step_does_not_count():
    history = StageHistory(Budget(10, minutes=1), None)
    history.started -= 3600  # an hour of fitting
    assert history.share(0) == 1
    history.on_train_begin(None, None, None)
    assert history.share(0) < 0.5


def test_a_saved_state_gives_back_the_steps_and_their_time_counts(tmp_path):
    written = {"stateful_callbacks": {"StageHistory": StageHistory(Budget(10), None, STEPS).state()}}
    (tmp_path / "trainer_state.json").write_text(json.dumps(written))
    assert saved_steps(tmp_path) == STEPS
    assert StageHistory(Budget(10), None, STEPS).seconds >= 4 > StageHistory(Budget(10), None).seconds


def test_a_step_is_recorded_and_reported_and_the_last_of_the_budget_ends_the_stage():
    reported, control = [], TrainerControl()
    history = StageHistory(Budget(2), reported.append)
    for number, step in enumerate(STEPS):
        assert not control.should_training_stop
        history.pending = (step.total, step.losses)
        history.on_step_end(None, TrainerState(global_step=number + 1), control)
    assert control.should_training_stop and reported == history.steps
    assert [(step.step, step.total, step.losses) for step in reported] == [(s.step, s.total, s.losses) for s in STEPS]
