"""Benchmarks of sentence pairs: the paired comparison of two systems, and training commands that `lateint` accepts."""

import shlex

import click
import numpy as np
import pytest

from benchmarks.quality import early_layers, pairs
from benchmarks.quality.pairs import compared
from lateint.cli.train import command as train_command
from lateint.train.recipes.named import recipe
from lateint_eval.measures.pairs import accuracy, evaluate_pairs, spearman

LABELS = np.random.default_rng(4).integers(0, 6, 60).astype(np.float64)
NOISE = np.random.default_rng(5).normal(size=60)


def test_a_system_does_not_differ_from_itself():
    found = compared(LABELS + NOISE, LABELS + NOISE, LABELS, spearman)
    assert found == {"difference": 0.0, "low": 0.0, "high": 0.0, "ratio": 1.0}


def test_a_better_system_is_better_by_the_difference_of_their_values():
    good, bad = LABELS + NOISE, LABELS + 6 * NOISE
    found = compared(good, bad, LABELS, spearman)
    one, other = (evaluate_pairs(each, LABELS).estimates["Spearman"].value for each in (good, bad))
    assert found["difference"] == pytest.approx(one - other) and found["ratio"] == pytest.approx(one / other)
    assert 0 < found["low"] < found["difference"] < found["high"]
    back = compared(bad, good, LABELS, spearman)
    assert (back["low"], back["high"]) == pytest.approx((-found["high"], -found["low"]))


def test_both_systems_see_the_same_resamples():
    """59 of 60 decisions agree here: separate resamples for each system would make the interval ten times as wide."""
    labels = (LABELS > 2).astype(np.float64)
    ours = np.where(np.arange(60) % 3 == 0, 1 - labels, labels)
    theirs = ours.copy()
    theirs[0] = labels[0]
    found = compared(ours, theirs, labels, accuracy)
    assert found["difference"] == pytest.approx(-1 / 60) and -0.06 < found["low"] <= found["high"] == 0.0


@pytest.mark.parametrize("benchmark", [pairs, early_layers], ids=lambda module: module.__name__)
def test_training_commands_of_checkpoints_are_valid(benchmark):
    for checkpoint, line in benchmark.TRAINED.items():
        for words in (shlex.split(each) for each in line.split(" ; ")):
            assert words[:2] == ["lateint", "train"]
            given = train_command.make_context("train", words[2:]).params
            assert recipe(given["recipe"]).name == given["recipe"]
        assert given["output"] == checkpoint
    with pytest.raises(click.NoSuchOption):
        train_command.make_context("train", ["--recipes", "hpd"])


def test_every_rival_is_a_row_of_the_same_set():
    for student, rival in pairs.RIVALS.items():
        assert student in pairs.TRAINED
        assert rival == "base, layer 3, 128 numbers" or pairs.TRAINED[rival].split(".tsv")[0][-4:] == student.split("-")[0]
