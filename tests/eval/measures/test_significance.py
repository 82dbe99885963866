import math
import random

import numpy as np
import pytest
from scipy import stats

from lateint_eval.measures.significance import compare, holm, paired_t_test
from lateint_store.errors import InputError


def values(generator, n, shift=0.0):
    return {f"q{at}": generator.random() + shift for at in range(n)}


@pytest.mark.parametrize("n", [2, 3, 5, 43, 200, 6980])
@pytest.mark.parametrize("shift", [0.0, 0.01, 0.3, -1.0])
def test_t_test_agrees_with_scipy(n, shift):
    generator = random.Random(n)
    left, right = values(generator, n, shift), values(generator, n)
    expected = stats.ttest_rel(list(left.values()), list(right.values())).pvalue
    differences = [left[query_id] - right[query_id] for query_id in left]
    assert paired_t_test(differences) == pytest.approx(expected, rel=1e-8, abs=1e-290)


def test_t_test_at_its_edges():
    assert paired_t_test([0.0, 0.0, 0.0]) == 1.0
    assert paired_t_test([0.5, 0.5]) == 0.0
    assert math.isnan(paired_t_test([0.5])) and math.isnan(paired_t_test([]))
    # One degree of freedom: differences 0 and 2 give t = 1, and p = 1/2 for the Cauchy distribution.
    assert paired_t_test([0.0, 2.0]) == pytest.approx(0.5, abs=1e-12)


def test_queries_are_paired_by_id_whatever_their_order():
    left, right = values(random.Random(1), 50, 0.1), values(random.Random(2), 50)
    shuffled = dict(sorted(right.items(), key=lambda item: item[1]))
    assert compare(left, right) == compare(left, shuffled)
    assert compare(left, right).difference == pytest.approx(np.mean([left[q] - right[q] for q in left]))


def test_the_seed_decides_the_interval():
    left, right = values(random.Random(1), 50, 0.1), values(random.Random(2), 50)
    assert compare(left, right, seed=3) == compare(left, right, seed=3)
    assert compare(left, right, seed=3).low != compare(left, right, seed=4).low


def test_interval_agrees_with_scipys_percentile_bootstrap():
    left, right = values(random.Random(1), 80, 0.05), values(random.Random(2), 80)
    differences = np.array([left[q] - right[q] for q in left])
    rng = np.random.default_rng(0)
    theirs = stats.bootstrap((differences,), np.mean, method="percentile", rng=rng).confidence_interval
    ours = compare(left, right)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)
    assert ours.low < ours.difference < ours.high and ours.n == 80


def test_interval_covers_the_truth_about_95_times_in_100():
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        differences = generator.normal(0.1, 1.0, 60)
        each = compare(dict(enumerate(differences)), dict.fromkeys(range(60), 0.0), seed=seed)
        covered += each.low <= 0.1 <= each.high
    assert 180 <= covered <= 198


def test_different_query_sets_are_refused():
    with pytest.raises(InputError, match="cannot pair 2 with 1 queries, 1 in common"):
        compare({"a": 1.0, "b": 0.0}, {"a": 1.0})
    with pytest.raises(InputError, match="cannot pair 0"):
        compare({}, {})


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.04, 0.5 times 4, 3, 2, 1, never falling: 0.04, 0.06, 0.08, 0.5.
    assert holm([0.04, 0.01, 0.5, 0.02]) == pytest.approx([0.08, 0.04, 0.5, 0.06])
    assert holm([0.4, 0.3]) == pytest.approx([0.6, 0.6]), "the second is not below the first"
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.01]) == [0.01] and holm([]) == []


def test_holm_leaves_nan_out():
    first, second = holm([math.nan, 0.03])
    assert math.isnan(first) and second == 0.03
