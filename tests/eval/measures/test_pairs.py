"""Measures of pairs against scipy, against values counted by hand, and against data with repeated rows instead of counts."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from lateint_eval.measures.pairs import (
    RESAMPLES,
    Threshold,
    accuracy,
    auc,
    best_threshold,
    evaluate_pairs,
    f1,
    label_kind,
    pearson,
    spearman,
)
from lateint_store.errors import InputError

GENERATOR = np.random.default_rng(3)
LABELS = GENERATOR.integers(0, 6, 60).astype(float)
SCORES = np.round(LABELS / 5 + GENERATOR.normal(0, 0.5, 60), 1)  # rounded, for many ties
BINARY = (LABELS > 2).astype(float)
ONCE = np.ones((1, 60))


def by_pairs(scores, labels):
    """Compute AUC by comparing every positive pair with every negative one."""
    wins = [(p > n) + (p == n) / 2 for p in scores[labels == 1] for n in scores[labels == 0]]
    return sum(wins) / len(wins)


def counted(decisions, labels):
    """Compute (accuracy, F1) by counting."""
    right = sum(d == label for d, label in zip(decisions, labels, strict=True))
    true = sum(d == label == 1 for d, label in zip(decisions, labels, strict=True))
    precision, recall = true / sum(decisions), true / sum(labels)
    return right / len(labels), 2 * precision * recall / (precision + recall)


def test_correlations_are_those_of_scipy():
    assert pearson(SCORES, LABELS, ONCE)[0] == pytest.approx(stats.pearsonr(SCORES, LABELS).statistic, abs=1e-14)
    assert spearman(SCORES, LABELS, ONCE)[0] == pytest.approx(stats.spearmanr(SCORES, LABELS).statistic, abs=1e-14)
    assert abs(pearson(SCORES, LABELS, ONCE)[0] - spearman(SCORES, LABELS, ONCE)[0]) > 1e-4


def test_spearman_reads_order_only_and_pearson_does_not():
    grown = np.exp(5 * SCORES)
    assert spearman(grown, LABELS, ONCE)[0] == pytest.approx(spearman(SCORES, LABELS, ONCE)[0], abs=1e-14)
    assert abs(pearson(grown, LABELS, ONCE)[0] - pearson(SCORES, LABELS, ONCE)[0]) > 0.01


def test_binary_measures_are_those_counted_by_hand():
    decisions = (SCORES >= 0.5).astype(float)
    assert auc(SCORES, BINARY, ONCE)[0] == pytest.approx(by_pairs(SCORES, BINARY), abs=1e-14)
    found = accuracy(decisions, BINARY, ONCE)[0], f1(decisions, BINARY, ONCE)[0]
    assert found == pytest.approx(counted(decisions, BINARY), abs=1e-14) and found[0] != found[1]


def test_binary_measures_are_those_of_scikit_learn():
    decisions = (SCORES >= 0.5).astype(float)
    assert auc(SCORES, BINARY, ONCE)[0] == pytest.approx(metrics.roc_auc_score(BINARY, SCORES), abs=1e-14)
    assert f1(decisions, BINARY, ONCE)[0] == pytest.approx(metrics.f1_score(BINARY, decisions), abs=1e-14)
    assert accuracy(decisions, BINARY, ONCE)[0] == pytest.approx(metrics.accuracy_score(BINARY, decisions), abs=1e-14)


def test_auc_by_hand():
    """Positives 3 and 1, negatives 2 and 1: 3 > 2, 3 > 1, 1 < 2 and 1 = 1 give 2.5 of 4."""
    scores, labels = np.array([3.0, 1.0, 2.0, 1.0]), np.array([1.0, 1.0, 0.0, 0.0])
    assert auc(scores, labels, np.ones((1, 4)))[0] == 0.625
    assert auc(-scores, labels, np.ones((1, 4)))[0] == 0.375
    assert auc(np.zeros(4), labels, np.ones((1, 4)))[0] == 0.5


@pytest.mark.parametrize("measure", [pearson, spearman, auc, accuracy, f1])
def test_counting_a_pair_is_writing_it_out_as_often(measure):
    counts = np.random.default_rng(5).integers(0, 4, (7, 60)).astype(float)
    scores = (SCORES > 0.5).astype(float) if measure in (accuracy, f1) else SCORES
    labels = LABELS if measure in (pearson, spearman) else BINARY
    written = []
    for row in counts.astype(int):
        many = np.repeat(scores, row), np.repeat(labels, row)
        written.append(measure(*many, np.ones((1, row.sum())))[0])
    found = measure(scores, labels, counts)
    assert found == pytest.approx(written, abs=1e-13)
    assert len(set(np.round(found, 6))) > 3, "the counts change something"


def test_intervals_hold_the_value_shrink_with_n_and_repeat():
    found = evaluate_pairs(SCORES, LABELS)
    assert found.n == 60 and found.kind == "graded" and list(found.estimates) == ["Pearson", "Spearman"]
    for each in found.estimates.values():
        assert each.low < each.value < each.high
    assert evaluate_pairs(SCORES, LABELS) == found != evaluate_pairs(SCORES, LABELS, seed=1)
    wide, narrow = found.estimates["Pearson"], evaluate_pairs(np.tile(SCORES, 4), np.tile(LABELS, 4)).estimates["Pearson"]
    assert narrow.value == pytest.approx(wide.value) and 0.4 < (narrow.high - narrow.low) / (wide.high - wide.low) < 0.6


def test_the_interval_of_an_accuracy_is_the_binomial_one():
    found = evaluate_pairs(SCORES, BINARY, Threshold(0.5, "given")).estimates["accuracy"]
    low, high = stats.binom.ppf([0.025, 0.975], 60, found.value) / 60
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02) and RESAMPLES == 10_000


def test_accuracy_and_f1_follow_the_threshold_and_auc_does_not():
    low, high = (evaluate_pairs(SCORES, BINARY, Threshold(value, "given")).estimates for value in (0.0, 0.7))
    assert low["AUC"] == high["AUC"]
    assert low["accuracy"] != high["accuracy"] and low["F1"] != high["F1"]
    default = evaluate_pairs(SCORES, BINARY)
    assert default.threshold == Threshold(0.0, "default") and default.estimates == low


def test_a_score_at_the_threshold_is_positive():
    scores, labels = np.array([0.0, -1.0, 1.0]), np.array([1.0, 0.0, 1.0])
    assert evaluate_pairs(scores, labels).estimates["accuracy"].value == 1.0
    above = Threshold(float(np.nextafter(0.0, 1.0)), "given")
    assert evaluate_pairs(scores, labels, above).estimates["accuracy"].value == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_is_better_than_the_best(seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, 40).astype(float)
    scores = np.round(generator.normal(labels, 1.0), 1)
    best = best_threshold(scores, labels)
    tried = np.unique(np.concatenate([scores, scores + 0.05, scores - 0.05]))
    right = [((scores >= value) == labels).mean() for value in tried]
    assert ((scores >= best) == labels).mean() == max(right) > min(right)


@pytest.mark.parametrize(("scores", "best"), [([1, 2, 3, 4], 2.5), ([4, 3, 2, 1], 1.0), ([7, 7, 7, 7], 7.0)])
def test_the_best_threshold_by_hand(scores, best):
    assert best_threshold(np.array(scores, dtype=float), np.array([0.0, 0.0, 1.0, 1.0])) == best


def test_where_nothing_is_worth_calling_positive_the_threshold_is_above_all():
    assert best_threshold(np.array([5.0, 4.0, 3.0, 2.0]), np.array([0.0, 0.0, 1.0, 0.0])) > 5.0


def test_constant_scores_have_no_correlation_and_say_so():
    found = evaluate_pairs(np.full(60, 0.1), LABELS)
    assert all(math.isnan(each.value) and math.isnan(each.low) for each in found.estimates.values())
    assert found.warnings() == ["all 60 pairs have the same score, so Pearson and Spearman are not defined"]
    assert found.to_json()["measures"]["Pearson"] == {"value": None, "low": None, "high": None}
    assert "nan" in found.to_text()
    nearly = np.full(60, 0.1)
    nearly[0] = np.nextafter(np.float32(0.1), np.float32(1.0))
    assert evaluate_pairs(nearly, LABELS).warnings() == []


def test_constant_scores_are_a_coin_for_auc():
    found = evaluate_pairs(np.full(60, 0.1), BINARY)
    assert found.estimates["AUC"].value == 0.5 and found.warnings() == []


@pytest.mark.parametrize(
    ("labels", "shown"), [([1, 1], "only 1;"), ([1, 2, 1], "only 1 and 2;"), ([0, 5], "only 0 and 5;"), ([], "only nothing;")]
)
def test_labels_that_are_neither_binary_nor_graded(labels, shown):
    with pytest.raises(InputError, match=shown):
        label_kind(np.array(labels, dtype=float))


def test_kinds_of_labels():
    assert label_kind(np.array([0.0, 1.0, 1.0])) == "binary"
    assert label_kind(np.array([0.0, 0.5, 1.0])) == "graded"


def test_graded_labels_take_no_threshold():
    with pytest.raises(InputError, match="graded labels take no threshold"):
        evaluate_pairs(SCORES, LABELS, Threshold(0.5, "given"))


def test_tables():
    text = evaluate_pairs(SCORES, BINARY, Threshold(0.5, "given")).to_text().splitlines()
    assert text[0] == f"60 pairs, binary labels, {BINARY.mean():.1%} positive"
    assert text[1] == "positive if the score is at least 0.5 (given)"
    assert [line.split()[0] for line in text[3:]] == ["measure", "accuracy", "F1", "AUC"]
    assert evaluate_pairs(SCORES, LABELS).to_text().startswith("60 pairs, graded labels, mean ")
