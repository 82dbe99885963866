"""The linear form of AESI: closed forms against numpy, what side information is worth, and how attention absorbs it."""

from dataclasses import replace

import numpy as np
import torch

from lateint.compressors.aesi_linear import _RIDGE, AesiLinear
from lateint.compressors.linear import Linear
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.train.initialise import initialise
from tests.support import students


def sample(n=600, h=16, known=0.8):
    """States that are for the most part a linear map of their side information."""
    random = torch.Generator().manual_seed(4)
    side = torch.randn(n, h, generator=random)
    rest = torch.randn(n, 4, generator=random) @ torch.randn(4, h, generator=random)
    return known * side @ torch.randn(h, h, generator=random) + (1 - known) * rest, side


def test_fit_is_ridge_regression_and_then_principal_directions():
    states, side = sample()
    compressor = AesiLinear(16, width=3)
    kept = compressor.fit_with_side(states, side)
    u, v = side.numpy().astype(float), states.numpy().astype(float)
    strength = np.sqrt(_RIDGE * np.trace(u.T @ u) / 16)
    known = np.linalg.lstsq(np.vstack([u, strength * np.eye(16)]), np.vstack([v, np.zeros((16, 16))]), rcond=None)[0]
    np.testing.assert_allclose(compressor.side.detach().numpy(), known.T, atol=1e-4)
    singular = np.linalg.svd(v - u @ known, compute_uv=False)
    assert abs(kept - (1 - (singular[3:] ** 2).sum() / (v**2).sum())) < 1e-6


def test_it_keeps_more_than_a_linear_map_without_side_information_and_no_more_where_there_is_none_to_have():
    for known, better in ((0.8, True), (0.0, False)):
        states, side = sample(known=known)
        told, blind = AesiLinear(16, width=3), Linear(16, width=3)
        told.fit_with_side(states, side)
        blind.fit_directions(states)
        with_side = told.expand(told.compress(states, side), side) - states
        without = blind.expand(blind.compress(states)) - states
        assert (with_side.square().sum() < 0.2 * without.square().sum()) == better


def test_attention_to_expanded_states_is_attention_to_codes_and_side_information_apart():
    states, side = sample(n=7)
    compressor = AesiLinear(16, width=4)
    compressor.fit_with_side(*sample())
    with torch.no_grad():
        q, key = torch.randn(5, 16), torch.randn(16, 16)
        codes = compressor.compress(states, side)
        u = q @ key  # what a query row looks for in a state
        apart = (u @ compressor.up) @ codes.T + (u @ compressor.side) @ side.T
        assert torch.allclose(apart, q @ (compressor.expand(codes, side) @ key.T).T, atol=1e-4)
        assert not torch.allclose((u @ compressor.up) @ codes.T, apart, atol=1e-1)


def test_preparing_a_model_fits_it_on_states_and_the_embeddings_of_their_tokens():
    method = replace(preset("sdr"), compressor=part("aesi_linear", width=8), towers="shared")
    student = students.student(method.name, compressor=method.compressor, towers="shared")
    found = initialise(student, [students.source()])
    assert 0.5 < found["kept"] <= 1 + 1e-9 and student.compressor.side.abs().max() > 0
