"""`lateint train` refuses data, teachers and runs that do not fit, and resumes a killed run."""

import json
import os
import shutil
import signal
import sys

import pytest

import lateint.train.run
from lateint.cli.main import run
from lateint.testing import tiny
from lateint.train.history import StageHistory
from tests.support import processes

LENGTHS = ("--query-max-length", "24", "--doc-max-length", "48")


def common(data, output, *more, method="prettr"):
    return (
        "train", "--method", method, "--base", tiny.checkpoint("bert"), "--data", data, *LENGTHS, "--output", output, *more
    )  # fmt: skip


def test_a_folder_without_runs_texts_or_queries_is_refused(data, tmp_path, call):
    for lost, said in (("runs", "bm25.train"), ("corpus.jsonl", "corpus.jsonl"), ("queries.jsonl", "queries.jsonl")):
        folder = tmp_path / lost
        shutil.copytree(data, folder)
        shutil.rmtree(folder / lost) if (folder / lost).is_dir() else (folder / lost).unlink()
        code, _, err = call(*common(folder, tmp_path / "out"))
        assert code == 1 and said in err, err
    assert not (tmp_path / "out").exists()


def test_a_path_that_is_not_there_and_pairs_of_one_label_are_refused(tmp_path, call):
    code, _, err = call(*common(tmp_path / "nowhere", tmp_path / "out"))
    assert code == 1 and "neither a ranking folder nor a file" in err
    (tmp_path / "pairs.tsv").write_text("sentence1\tsentence2\tlabel\na b\tc d\t1\ne f\tg h\t1\n")
    code, _, err = call(*common(tmp_path / "pairs.tsv", tmp_path / "out"))
    assert code == 1 and "all 2 labels" in err


def test_scores_of_another_teacher_are_a_mismatch(data, tmp_path, call):
    scores = tmp_path / "scores"
    taught = ("--scores", scores, "--steps", 1)
    first = common(data, tmp_path / "a", "--teacher", tiny.checkpoint("bert"), *taught, method="mice")
    assert call(*first)[0] == 0
    code, _, err = call(*common(data, tmp_path / "b", "--teacher", tiny.checkpoint("electra"), *taught, method="mice"))
    assert code == 3 and "holds scores of" in err and "name another file" in err
    code, _, err = call(*common(data, tmp_path / "c", *taught))
    assert code == 2 and "--teacher" in err


def test_a_run_with_other_settings_does_not_resume_an_interrupted_one(data, tmp_path, call):
    folder = tmp_path / "out" / ".training"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"seed": "7"}))
    code, _, err = call(*common(data, tmp_path / "out", "--steps", 1))
    assert code == 1 and "holds an interrupted run with another" in err and "remove the folder" in err


def test_without_accelerate_the_error_says_what_to_install(data, tmp_path, call, monkeypatch):
    command = common(data, tmp_path / "out", "--steps", 1)
    assert lateint.train.run.check  # transformers is loaded by now, as where accelerate was never there
    monkeypatch.setitem(sys.modules, "accelerate", None)
    code, _, err = call(*command)
    assert code == 1 and "accelerate is not installed; run: pip install 'lateint[train]'" in err
    assert not (tmp_path / "out").exists()


def train_until_killed(arguments):
    """Train, and be killed in the fourth step."""
    step_end = StageHistory.on_step_end

    def killed_in_the_fourth(self, args, state, control, **more):
        if state.global_step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        step_end(self, args, state, control, **more)

    StageHistory.on_step_end = killed_in_the_fourth
    run(arguments)


def test_a_killed_run_resumes_when_its_command_is_repeated(data, tmp_path, call):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    more = ("--steps", 6, "--save-every", 2, "--full", "--threads", 1)  # another thread count moves last bits
    assert call(*common(data, whole, *more))[0] == 0
    with pytest.raises(AssertionError, match=f"exit code -{signal.SIGKILL:d}"):  # with the state after two steps on disk
        processes.call(train_until_killed, [str(each) for each in common(data, cut, *more)])
    assert [path.name for path in cut.glob(".training/stage*/checkpoint-*")] == ["checkpoint-2"]
    code, _, err = call(*common(data, cut, *more))
    assert code == 0 and "resuming the interrupted run" in err
    ends = [json.loads((folder / "history.json").read_text())[-1] for folder in (whole, cut)]
    assert [step["losses"] for step in ends[0]] == [step["losses"] for step in ends[1]]
    assert len(ends[0]) == 6
