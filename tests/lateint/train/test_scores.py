"""Teacher scores on disk: kept, found by content, and never mixed with another teacher's."""

from dataclasses import replace

import pytest
import torch

from lateint.errors import InputError, StoreMismatch
from lateint.methods.registry import part
from lateint.train.scores import Scores, identity
from tests.support import students
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
