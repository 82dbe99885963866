"""Each loss against its formula, where it vanishes, and what it does not see."""

import math

import pytest
import torch
from torch.nn import functional as F

from lateint.errors import InputError
from lateint.methods.registry import build, names, part
from lateint.train.step import StepOutput

SCORES = torch.tensor([[2.0, 1.0, 0.0], [0.5, 0.5, -1.0]])
TEACHER = torch.tensor([[3.0, 1.0, 0.5], [1.0, 2.0, 0.0]])
LABELS = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
OF_SCORES = [name for name in names("train/losses") if build("train/losses", part(name)).needs_scores and name != "layer_mse"]
SEE_CONSTANTS = ("bce", "logit_mse")  # pair tasks compare scores with a threshold, so a constant matters to them


def loss(name, scores=SCORES, teacher=TEACHER, labels=LABELS, **settings):
    outcome = StepOutput(scores, labels, teacher, (), model=None)
    return float(build("train/losses", part(name, **settings))(outcome))


def test_listwise_is_the_cross_entropy_of_the_first():
    wanted = sum(math.log(sum(math.exp(s - row[0]) for s in row)) for row in SCORES.tolist()) / 2
    assert abs(loss("listwise") - wanted) < 1e-6


def test_pairwise_is_the_mean_cross_entropy_of_the_first_against_each_other():
    wanted = [math.log(1 + math.exp(s - row[0])) for row in SCORES.tolist() for s in row[1:]]
    assert abs(loss("pairwise") - sum(wanted) / 4) < 1e-6


def test_pairwise_with_one_negative_is_listwise_and_with_two_it_is_not():
    assert loss("pairwise", SCORES[:, :2]) == pytest.approx(loss("listwise", SCORES[:, :2]), abs=1e-6)
    assert abs(loss("pairwise") - loss("listwise")) > 0.1


def test_bce_is_the_cross_entropy_of_every_candidate_also_for_graded_labels():
    labels = torch.tensor([[1.0, 0.25, 0.0], [0.8, 0.0, 0.5]])
    p = torch.sigmoid(SCORES)
    wanted = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
    assert abs(loss("bce", labels=labels) - float(wanted)) < 1e-6


def test_balanced_bce_gives_positives_and_negatives_equal_weight():
    p = torch.sigmoid(SCORES)
    wanted = (-p[:, 0].log().mean() - (1 - p[:, 1:]).log().mean()) / 2
    assert abs(loss("bce", balanced=True) - float(wanted)) < 1e-6
    assert abs(loss("bce", balanced=True) - loss("bce")) > 1e-2


def test_margin_mse_is_the_mean_squared_difference_of_margins():
    margins = [
        (row[0] - s, t[0] - u) for row, t in zip(SCORES, TEACHER, strict=True) for s, u in zip(row[1:], t[1:], strict=True)
    ]
    wanted = sum(float(a - b) ** 2 for a, b in margins) / len(margins)
    assert abs(loss("margin_mse") - wanted) < 1e-6


def test_margin_mse_sees_the_teachers_scale_and_its_sign():
    assert loss("margin_mse", teacher=2 * TEACHER) > loss("margin_mse")
    assert loss("margin_mse", -TEACHER) > 0


def test_the_expression_of_the_sdr_release_is_no_loss():
    """(s⁺ - s⁻) - (t⁺ - t⁻)², the misplaced parenthesis: not zero at equal margins, and below zero for worse students."""
    margins = TEACHER[:, :1] - TEACHER[:, 1:]
    released = (margins - margins**2).mean()
    assert float(released) != 0 and loss("margin_mse", TEACHER) == 0
    assert float((-9 * margins - margins**2).mean()) < 0 < loss("margin_mse", -9 * TEACHER)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_kl_is_the_divergence_from_the_teacher_times_the_squared_temperature(temperature):
    wanted = 0.0
    for ours, theirs in zip(SCORES, TEACHER, strict=True):
        p, q = torch.softmax(theirs / temperature, 0), torch.softmax(ours / temperature, 0)
        wanted += float((p * (p / q).log()).sum()) / 2
    assert abs(loss("kl", temperature=temperature) - temperature**2 * wanted) < 1e-6


def test_kl_of_a_single_candidate_is_that_of_a_yes_and_a_no():
    scores, teacher = torch.tensor([[0.3]]), torch.tensor([[1.2]])
    p, q = torch.sigmoid(teacher), torch.sigmoid(scores)
    wanted = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    assert abs(loss("kl", scores, teacher, torch.ones(1, 1)) - float(wanted)) < 1e-6


def test_the_squared_temperature_keeps_the_gradient_of_kl_to_first_order():
    near = (TEACHER + 1e-2 * SCORES).requires_grad_(True)
    lengths = []
    for temperature in (1.0, 2.0, 4.0):
        kl = build("train/losses", part("kl", temperature=100 * temperature))
        (grad,) = torch.autograd.grad(kl(StepOutput(near, LABELS, TEACHER, (), model=None)), near)
        lengths.append(float(grad.norm()))
    assert max(lengths) / min(lengths) < 1.05
    plain = [length / (100 * t) ** 2 for length, t in zip(lengths, (1.0, 2.0, 4.0), strict=True)]
    assert max(plain) / min(plain) > 10  # without the factor it would fall with the square


def test_logit_mse_is_the_mean_squared_difference_of_scores():
    assert loss("logit_mse") == pytest.approx(float(F.mse_loss(SCORES, TEACHER)), abs=1e-6)


@pytest.mark.parametrize("name", ["margin_mse", "kl", "logit_mse"])
def test_distillation_vanishes_exactly_at_the_teacher_and_nowhere_near_it(name):
    assert loss(name, TEACHER) == pytest.approx(0, abs=1e-7)
    assert loss(name, TEACHER + torch.tensor([0.0, 0.5, 0.0])) > 1e-3


@pytest.mark.parametrize("name", OF_SCORES)
def test_a_constant_added_to_all_scores_of_a_query_is_seen_by_losses_of_pairs_alone(name):
    shifted = loss(name, SCORES + torch.tensor([[5.0], [-3.0]]))
    if name in SEE_CONSTANTS:
        assert abs(shifted - loss(name)) > 0.1
    else:
        assert shifted == pytest.approx(loss(name), abs=1e-5)


@pytest.mark.parametrize("name", ["margin_mse", "kl", "logit_mse"])
def test_distillation_without_a_teacher_is_refused(name):
    with pytest.raises(InputError, match="teacher"):
        loss(name, teacher=None)


def test_a_temperature_that_is_not_positive_is_refused():
    with pytest.raises(InputError, match="temperature"):
        loss("kl", temperature=0.0)
