from math import erfc, exp, pi, sqrt

import numpy as np
import pytest

from lateint_store.numerics.lloyd_max import borders, levels

BITS = range(1, 9)
PUBLISHED = {1: [0.7979], 2: [0.4528, 1.5104], 3: [0.2451, 0.7560, 1.3439, 2.1519]}
DISTORTION = {1: 0.3634, 2: 0.1175, 3: 0.0345, 4: 0.0095, 5: 0.0025, 6: 0.00064}


def cells(half):
    """Borders of the cells above 0 (the last one infinite), the density at them, and the mass between them."""
    edges = [0.0, *((half[1:] + half[:-1]) / 2)]
    density = np.array([exp(-edge * edge / 2) / sqrt(2 * pi) for edge in edges] + [0.0])
    above = np.array([erfc(edge / sqrt(2)) / 2 for edge in edges] + [0.0])
    return np.array([*edges, np.inf]), density, -np.diff(above)


def regenerated(bits):
    """Solve for the levels above 0 that are the means of their cells, by Newton's method from companded quantiles."""
    half = np.sqrt(3) * np.array([quantile((place + 0.5) / 2**bits + 0.5) for place in range(2 ** (bits - 1))])
    for _ in range(300):
        edges, density, mass = cells(half)
        mean = -np.diff(density) / mass
        low = np.where(np.arange(len(half)) > 0, density[:-1] * (mean - edges[:-1]) / mass, 0) / 2
        high = density[1:] * (np.where(np.isinf(edges[1:]), 0, edges[1:]) - mean) / mass / 2
        slope = np.diag(1 - low - np.where(density[1:] > 0, high, 0))
        slope -= np.diag(low[1:], -1) + np.diag(high[:-1], 1)
        step = np.linalg.solve(slope, half - mean)
        limit = min(1.0, np.diff([0.0, *half]).min() / 3 / max(np.abs(step).max(), 1e-300))
        half = half - limit * step
        if np.abs(step).max() < 1e-13:
            break
    return half


def quantile(share):
    """A quantile of N(0, 1), by bisection."""
    low, high = -9.0, 9.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - erfc(middle / sqrt(2)) / 2 < share else (low, middle)
    return low


def distortion(half):
    """E (x - level)**2 for x of N(0, 1); equals 1 - E level**2 if levels are the means of their cells."""
    _, density, mass = cells(half)
    return 1 - 2 * float(np.sum(-2 * half * np.diff(density) - half**2 * mass))


@pytest.mark.parametrize("bits", BITS)
def test_the_table_is_what_solving_anew_gives(bits):
    half = levels(bits)[2 ** (bits - 1) :]
    np.testing.assert_allclose(half, regenerated(bits), rtol=1e-11)
    _, density, mass = cells(half)
    np.testing.assert_allclose(half, -np.diff(density) / mass, rtol=1e-11, err_msg="a level is the mean of its cell")


@pytest.mark.parametrize("bits", PUBLISHED)
def test_the_levels_are_the_published_ones(bits):
    assert levels(bits)[2 ** (bits - 1) :].round(4).tolist() == PUBLISHED[bits]


@pytest.mark.parametrize("bits", DISTORTION)
def test_the_distortion_is_the_published_one_and_least(bits):
    half = levels(bits)[2 ** (bits - 1) :]
    found = distortion(half)
    assert found == pytest.approx(DISTORTION[bits], rel=0.015)
    for place in range(len(half)):
        for factor in (0.97, 1.03):
            moved = half.copy()
            moved[place] *= factor
            assert distortion(moved) > found


@pytest.mark.parametrize("bits", BITS)
def test_levels_mirror_each_other_and_borders_lie_midway(bits):
    found = levels(bits)
    assert len(found) == 2**bits and np.array_equal(found, -found[::-1]) and (np.diff(found) > 0).all()
    assert borders(bits)[2 ** (bits - 1) - 1] == 0
    assert ((borders(bits) > found[:-1]) & (borders(bits) < found[1:])).all()
