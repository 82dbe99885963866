"""Coverage of the intervals on known populations."""

import numpy as np
import pytest

from lateint.model.document import Document
from lateint_eval.planning.estimate import Estimate, proportion, quantile, total
from lateint_eval.planning.survey import survey

POPULATION = 4_000


@pytest.fixture(scope="module")
def population():
    """Documents of very different lengths, each with a value that depends on its length and on chance."""
    random = np.random.default_rng(0)
    lengths = np.exp(random.normal(6, 0.8, POPULATION)).astype(int) + 1
    documents = [Document(str(i), "x" * int(length)) for i, length in enumerate(lengths)]
    return documents, np.minimum(lengths, 900) * 3.0 + random.normal(0, 50, POPULATION)


def test_a_sample_of_everything_is_exact(population):
    documents, values = population
    found = survey(documents, POPULATION)
    got = total(found, [values[int(document.id)] for document in found.sample])
    assert got.value == pytest.approx(values.sum()) and got.high - got.low < 1e-3 * got.value


def test_intervals_hold_and_length_makes_them_narrow(population):
    documents, values = population
    held, widths = 0, []
    for seed in range(200):
        found = survey(documents, 400, seed)
        got = total(found, [values[int(document.id)] for document in found.sample])
        held += got.low <= values.sum() <= got.high
        widths.append((got.high - got.low) / 2)
    naive = 1.96 * POPULATION * values.std() / 20
    assert held >= 182, "95 % of 200 is 190; 182 is two and a half standard deviations less"
    assert np.mean(widths) < naive / 3


def test_quantiles_of_a_sample_hold_those_of_the_population():
    random = np.random.default_rng(1)
    everything = np.exp(random.normal(0, 1, 100_000))
    for share in (0.5, 0.95):
        held = 0
        for _ in range(200):
            got = quantile(random.choice(everything, 500).tolist(), share)
            held += got.low <= np.quantile(everything, share) <= got.high and got.low <= got.value <= got.high
        assert held >= 182


def test_proportions_stay_within_0_and_1():
    none, all_of_them, half = proportion(0, 100), proportion(100, 100), proportion(50, 100)
    assert none.low == 0 and 0 < none.high < 0.06 and all_of_them.high == 1 and all_of_them.low > 0.94
    assert half.value == 0.5 and half.low == pytest.approx(0.404, abs=0.002) and half.high == pytest.approx(0.596, abs=0.002)


def test_scaling_moves_all_three():
    assert Estimate(2.0, 1.0, 4.0).scaled(10, 5) == Estimate(25.0, 15.0, 45.0)
