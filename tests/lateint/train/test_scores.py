"""Teacher scores on disk: kept, found by content, and never mixed with another teacher's."""

import os
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

from lateint.errors import InputError, StoreMismatch
from lateint.methods.registry import part
from lateint.train import scores as scores_module
from lateint.train.scores import Scores, _key, identity
from tests.support import engine, processes, students
from tests.support.students import BLOCKS, LISTWISE, STAGE

ONE, OTHER = {"name": "one", "digest": "a" * 64}, {"name": "other", "digest": "b" * 64}
TAUGHT = replace(STAGE, losses=(LISTWISE, (part("kl"), 1.0)))


def test_scores_are_found_again_by_both_texts(tmp_path):
    with Scores(tmp_path / "scores", ONE) as scores:
        scores.put([("q", "a"), ("q", "b"), ("qa", "")], [1.5, -2.0, 3.0])
        assert len(scores) == 3
    with Scores(tmp_path / "scores", ONE) as scores:
        assert scores.get([("q", "b"), ("q", "a"), ("r", "a"), ("", "qa"), ("qa", "")]) == [-2.0, 1.5, None, None, 3.0]


def test_a_file_of_another_teacher_is_refused_and_unchanged(tmp_path):
    Scores(tmp_path / "scores", ONE).close()
    with pytest.raises(StoreMismatch, match=r"scores of one \[aaaaaaaaaaaa\], the teacher is other \[bbbbbbbbbbbb\]"):
        Scores(tmp_path / "scores", OTHER)
    Scores(tmp_path / "scores", ONE).close()


def test_what_is_no_file_of_scores_is_refused(tmp_path):
    (tmp_path / "scores").write_bytes(b"query\tdocument\t0.5\n" * 1000)
    with pytest.raises(InputError, match="no file of teacher scores"):
        Scores(tmp_path / "scores", ONE)


def test_a_score_that_is_not_finite_is_refused(tmp_path):
    with Scores(tmp_path / "scores", ONE) as scores, pytest.raises(InputError, match="not finite"):
        scores.put([("q", "a")], [float("nan")])


PAIRS = [(f"q{i}", f"d{i}") for i in range(400)]
NUMBERS = [float(i) for i in range(400)]


@pytest.fixture
def filled(tmp_path):
    with Scores(tmp_path / "scores", ONE) as scores:
        scores.put(PAIRS, NUMBERS)
    return tmp_path / "scores"


@pytest.mark.parametrize("kept", [0.9, 0.5, 0.2])
def test_a_truncated_file_is_refused_before_it_is_mapped(filled, kept):
    engine.cut(filled, int(filled.stat().st_size * kept) // 4096 * 4096)
    with pytest.raises(InputError, match=r"damaged: .*delete this one: its scores are then computed again"):
        Scores(filled, ONE)


def test_a_flipped_bit_is_found_or_changes_no_score(filled):
    sound, rng, found = filled.read_bytes(), np.random.default_rng(0), 0
    for place in rng.integers(8192, len(sound), 150):
        data = bytearray(sound)
        data[place] ^= 1 << int(rng.integers(8))
        filled.write_bytes(data)
        try:
            with Scores(filled, ONE) as scores:
                assert all(score in (None, number) for score, number in zip(scores.get(PAIRS), NUMBERS, strict=True)), place
        except (InputError, StoreMismatch):
            found += 1
    assert found > 20


def test_scores_that_an_earlier_version_wrote_are_read(tmp_path):
    now = ONE | {"former": ONE["digest"], "digest": "c" * 64}
    with Scores(tmp_path / "scores", ONE) as scores, scores._env.begin(write=True) as txn:
        txn.put(_key("q", "a"), struct.pack("<f", 1.5))
    with Scores(tmp_path / "scores", now) as scores:
        assert scores.get([("q", "a")]) == [1.5]


def grow(path):
    """Add scores beyond the map of a process that opened the file before."""
    scores_module._GROWTH = 1 << 20
    with Scores(path, ONE) as file:
        for n in range(10):
            file.put([(f"q{n}-{i}", "d") for i in range(3000)], [0.5] * 3000)


def test_what_another_process_adds_beyond_the_map_is_read_and_written_on(tmp_path, monkeypatch):
    monkeypatch.setattr(scores_module, "_GROWTH", 1 << 20)
    path = tmp_path / "scores"
    with Scores(path, ONE) as scores, Scores(tmp_path / "another", ONE) as another:
        scores.put([("q", "d")], [1.0])
        processes.call(grow, path)
        assert scores.get([("q", "d"), ("q9-2999", "d")]) == [1.0, 0.5] and len(scores) == 30_001
        scores.put([("q", "e")], [2.0])
        assert scores.get([("q", "e")]) == [2.0] and len(another) == 0


def test_the_identity_changes_with_the_weights_and_not_with_the_name():
    teacher = students.student("cross_encoder", depth=0)
    before = identity(teacher)["digest"]
    teacher.name = "another name"
    assert identity(teacher)["digest"] == before
    with torch.no_grad():
        teacher.backbone.layers[3].feed_forward.up.weight[0, 0] += 1e-3
    assert identity(teacher)["digest"] != before


def test_no_pair_is_scored_twice_and_the_next_student_sees_the_same_numbers(tmp_path, monkeypatch):
    teacher = students.student("cross_encoder", depth=0)
    asked = []
    score = type(teacher).score
    monkeypatch.setattr(type(teacher), "score", lambda self, *given: asked.append(self is teacher) or score(self, *given))
    ends = []
    for number in range(2):
        with Scores(tmp_path / "scores", identity(teacher)) as scores:
            student = students.student(head=BLOCKS)
            (history,) = students.run(student, tmp_path / str(number), [TAUGHT], teacher=teacher, scores=scores)
            ends.append([step.losses["kl"] for step in history])
        assert any(asked) is (number == 0)
        asked.clear()
    assert ends[0] == pytest.approx(ends[1], abs=1e-6)


@pytest.mark.parametrize("name", ["scores", "scores-lock"])
def test_a_pipe_a_device_and_a_link_for_the_lock_are_refused_and_no_other_file_is_written(tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    file = tmp_path / name
    makers = [lambda: os.mkfifo(file), lambda: file.symlink_to("/dev/zero"), file.mkdir]
    for make in [*makers, lambda: file.symlink_to(victim)]:
        make()
        with pytest.raises(InputError, match="no file of teacher scores"):
            Scores(tmp_path / "scores", ONE)
        file.rmdir() if file.is_dir() else file.unlink()
    assert victim.read_text() == "precious"
