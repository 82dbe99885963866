"""The progress of `lateint train`: a bar at a terminal, a few plain lines in a log."""

import re
import sys

import lateint.cli.train
from lateint.testing import tiny

LINE = re.compile(r"stage (\d): step (\d+) of (\d+), (.+) \(mean of the last (\d+)\), \d+ s")


def train(call, data, folder, method, steps, *more):
    lengths = ("--query-max-length", "6", "--doc-max-length", "6")
    common = ("--method", method, "--base", tiny.checkpoint("bert"), "--data", data, "--output", folder, *lengths)
    code, out, err = call("train", *common, "--steps", steps, *more)
    assert code == 0 and out == "", err
    return err


def lines(err):
    return [found.groups() for found in map(LINE.fullmatch, err.splitlines()) if found]


def test_a_log_gets_a_line_whenever_another_part_of_the_run_is_done(tmp_path, call, monkeypatch):
    monkeypatch.setattr(lateint.cli.train, "_LINES", 4)
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("sentence1\tsentence2\tlabel\nbread\tsalt\t1\nwheel\tsun\t0\n")
    found = lines(train(call, pairs, tmp_path / "out", "dc_bert", 12))
    assert [(step, last) for _, step, _, _, last in found] == [("3", "3"), ("6", "3"), ("9", "3")]
    assert all(stage == "0" and of == "12" and losses.startswith("bce ") for stage, _, of, losses, _ in found)


def test_stages_share_the_lines_and_each_names_its_own_losses(data, tmp_path, call):
    found = lines(train(call, data, tmp_path / "out", "prettr", 4, "--compressor", "bottleneck:width=8"))
    assert [(stage, step) for stage, step, *_ in found] == [(stage, step) for stage in "01" for step in "123"]
    assert [losses.split()[0] for *_, losses, _ in found] == ["attention_mse"] * 3 + ["pairwise"] * 3


def test_a_terminal_gets_a_bar_and_no_lines(data, tmp_path, call, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    err = train(call, data, tmp_path / "out", "cosine", 4)
    assert "4/4" in err and "steps/s" in err and not lines(err)
