"""Each loss against its formula, where it vanishes, and what it does not see."""

import math

import pytest
import torch

from lateint.errors import InputError
from lateint.parts import build, names, part

SCORES = torch.tensor([[2.0, 1.0, 0.0], [0.5, 0.5, -1.0]])
TEACHER = torch.tensor([[3.0, 1.0, 0.5], [1.0, 2.0, 0.0]])


def loss(name, **settings):
    return build("train/losses", part(name, **settings))


def test_listwise_is_the_cross_entropy_of_the_first():
    wanted = sum(math.log(sum(math.exp(s - row[0]) for s in row)) for row in SCORES.tolist()) / 2
    assert abs(float(loss("listwise")(SCORES, None)) - wanted) < 1e-6


def test_margin_mse_is_the_mean_squared_difference_of_margins():
    margins = [
        (row[0] - s, t[0] - u) for row, t in zip(SCORES, TEACHER, strict=True) for s, u in zip(row[1:], t[1:], strict=True)
    ]
    wanted = sum(float(a - b) ** 2 for a, b in margins) / len(margins)
    assert abs(float(loss("margin_mse")(SCORES, TEACHER)) - wanted) < 1e-6


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_kl_is_the_divergence_from_the_teacher_times_the_squared_temperature(temperature):
    wanted = 0.0
    for ours, theirs in zip(SCORES, TEACHER, strict=True):
        p, q = torch.softmax(theirs / temperature, 0), torch.softmax(ours / temperature, 0)
        wanted += float((p * (p / q).log()).sum()) / 2
    got = loss("kl", temperature=temperature)(SCORES, TEACHER)
    assert abs(float(got) - temperature**2 * wanted) < 1e-6


@pytest.mark.parametrize("name", ["margin_mse", "kl"])
def test_distillation_vanishes_exactly_at_the_teacher_and_nowhere_near_it(name):
    assert float(loss(name)(TEACHER, TEACHER)) == pytest.approx(0, abs=1e-7)
    assert float(loss(name)(TEACHER + torch.tensor([0.0, 0.5, 0.0]), TEACHER)) > 1e-3


@pytest.mark.parametrize("name", names("train/losses"))
def test_a_constant_added_to_all_scores_of_a_query_changes_nothing(name):
    shifted = SCORES + torch.tensor([[5.0], [-3.0]])
    assert float(loss(name)(shifted, TEACHER)) == pytest.approx(float(loss(name)(SCORES, TEACHER)), abs=1e-5)


def test_margin_mse_sees_the_teachers_scale_and_its_sign():
    assert float(loss("margin_mse")(SCORES, 2 * TEACHER)) > float(loss("margin_mse")(SCORES, TEACHER))
    assert float(loss("margin_mse")(-TEACHER, TEACHER)) > 0


@pytest.mark.parametrize("name", ["margin_mse", "kl"])
def test_distillation_without_a_teacher_is_refused(name):
    with pytest.raises(InputError, match="teacher"):
        loss(name)(SCORES, None)


def test_a_temperature_that_is_not_positive_is_refused():
    with pytest.raises(InputError, match="temperature"):
        loss("kl", temperature=0.0)
