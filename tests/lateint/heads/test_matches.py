"""The readout of joint rows as a logit: the plain score, scaled and moved by a learned constant."""

import math

import pytest
import torch

from lateint.heads._matches import Matches


def given():
    torch.manual_seed(0)
    return torch.randn(3, 5, 16), torch.ones(5, dtype=torch.bool), torch.randn(3, 7, 16), None


def test_calibrated_matches_are_the_plain_ones_and_a_constant():
    plain, calibrated = Matches(16), Matches(16, calibrated=True)
    with torch.no_grad():
        wanted = plain(*given())
        assert not torch.allclose(calibrated(*given()) + 16, wanted)  # other scales to begin with
        plain.log_tau.fill_(math.log(8))
        plain.log_eps.fill_(math.log(12))
        assert torch.allclose(calibrated(*given()), plain(*given()) - 16)


def test_equal_texts_begin_as_a_yes_and_opposite_ones_as_a_no():
    calibrated = Matches(16, calibrated=True)
    query, words, _, mask = given()
    with torch.no_grad():
        assert bool((calibrated(query, words, query, mask) > 3).all())
        assert bool((calibrated(query, words, -query, mask) < -16).all())


def test_only_calibrated_matches_learn_a_constant():
    calibrated = Matches(16, calibrated=True)
    calibrated(*given()).sum().backward()
    assert float(calibrated.constant.grad) == pytest.approx(3)
    assert Matches(16).constant is None and "constant" not in Matches(16).state_dict()
