"""Uncentred principal directions, as HPD's target has them."""

import pytest
import torch

from lateint.compressors._directions import principal
from lateint.errors import InputError


def vectors(n=50, h=12):
    """Vectors with a mean that is far from zero."""
    generator = torch.Generator().manual_seed(4)
    return torch.randn(n, h, generator=generator) * torch.linspace(2, 0.2, h) + 1.0


def test_at_full_width_every_dot_product_is_kept_and_a_centred_one_would_not_keep_them():
    x = vectors().double()
    projected = x @ principal(x, 12)
    assert torch.allclose(projected @ projected.T, x @ x.T, atol=1e-9)
    centred = x - x.mean(0)
    wrong = centred @ principal(centred, 12)
    assert (wrong @ wrong.T - x @ x.T).abs().max() > 1


def test_directions_are_orthonormal_sorted_and_nested():
    x = vectors()
    basis = principal(x, 5)
    assert basis.shape == (12, 5) and basis.dtype == torch.float64
    assert torch.allclose(basis.T @ basis, torch.eye(5, dtype=torch.float64), atol=1e-9)
    lengths = (x.double() @ basis).square().sum(0)
    assert lengths.tolist() == sorted(lengths.tolist(), reverse=True)
    assert torch.allclose(principal(x, 3), basis[:, :3])


def test_no_other_directions_keep_more_and_a_common_one_counts():
    x = vectors().double()
    kept = (x @ principal(x, 4)).square().sum()
    random = torch.linalg.qr(torch.randn(12, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    assert kept > (x @ random).square().sum()
    centred = principal(x - x.mean(0), 4)
    assert kept > (x @ centred).square().sum() * 1.01


def test_a_target_is_a_linear_map_without_bias():
    x = vectors().double()
    basis = principal(x, 4)
    assert torch.allclose((2.5 * x) @ basis, 2.5 * (x @ basis)) and not (torch.zeros(12).double() @ basis).any()


@pytest.mark.parametrize("width", [0, 13])
def test_more_directions_than_there_are_are_refused(width):
    with pytest.raises(InputError, match=rf"{width} principal directions .* expected 1\.\.12"):
        principal(vectors(), width)
