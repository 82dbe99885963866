"""Lists without judgements: what the teacher scores highest counts as relevant, and without a teacher they are refused."""

import gzip
import json
from dataclasses import replace

import pytest
import torch

from lateint.errors import InputError
from lateint.methods.registry import part
from lateint.train.data import Example, Sampler
from lateint.train.features import Live
from lateint.train.objective import Objective
from lateint.train.run import check
from lateint.train.teacher import Teacher
from lateint_eval.datasets.sources import training_source
from tests.support import students

STAGE = replace(students.STAGE, losses=((part("listwise"), 0.5), (part("kl"), 1.0)), train=("layers",))


def with_best_first(example, scores):
    ranked = sorted(zip(scores, example.documents, strict=True), key=lambda pair: -pair[0])
    others = [document for document in example.documents if document != ranked[0][1]]
    return Example(example.query, (ranked[0][1], *others), (1.0, *(0.0 for _ in others)))


def unlabelled():
    return replace(students.source(), positives={}, is_labelled=False)


def test_lists_are_drawn_from_candidates_and_have_no_labels():
    source, seen = unlabelled(), set()
    for index in range(30):
        example = Sampler([source], 4).example(index)
        assert len({document.id for document in example.documents}) == 5 and not example.is_labelled
        seen.add(example.documents[0].id)
    assert len(seen) > 5  # no document is preferred
    few = replace(source, candidates={query: ["toy3"] for query in source.queries})
    drawn = Sampler([few], 4).example(0)
    assert drawn.documents[0].id == "toy3" and len({document.id for document in drawn.documents}) == 5


def test_the_best_of_the_teacher_counts_as_relevant():
    student, teacher = students.student("cosine", depth=None), students.student("cross_encoder", depth=0)
    drawn = [Sampler([unlabelled()], 4).example(index) for index in range(3)]
    judge, live = Teacher(student, teacher, Live(teacher)), Live(student)
    best = [with_best_first(example, scores.tolist()) for example, scores in zip(drawn, judge.score(drawn), strict=True)]
    assert [list(judge.score([example])[0]).index(max(judge.score([example])[0])) for example in best] == [0, 0, 0]
    assert any(example.documents[0] != first.documents[0] for example, first in zip(best, drawn, strict=True))
    with torch.no_grad():
        found, known = (Objective(STAGE, taught=True)(student, live, lists, judge) for lists in (drawn, best))
    assert torch.equal(found[0], known[0]) and torch.isfinite(found[0])


def test_without_a_loss_of_scores_they_are_refused_before_anything_runs():
    student = students.student("cosine", depth=None)
    student.method = replace(student.method, stages=(replace(STAGE, losses=STAGE.losses[:1]),))
    check(student, [students.source()], has_teacher=True)
    with pytest.raises(InputError, match=r"'toy' has no judgements \(qrels\), and no loss"):
        check(student, [unlabelled()], has_teacher=True)


def test_training_lowers_the_loss_of_unlabelled_lists(tmp_path):
    student, teacher = students.student("cosine", depth=None), students.student("cross_encoder", depth=0)
    stage = replace(STAGE, losses=((part("kl", scale=20.0), 1.0),), rate=1e-3)
    (history,) = students.run(student, tmp_path, [stage], steps=8, sets=[unlabelled()], teacher=teacher)
    assert sum(step.total for step in history[-3:]) < sum(step.total for step in history[:3])


def test_a_folder_without_judgements_of_the_split_is_read_as_unlabelled(tmp_path):
    for folder in ("runs", "qrels"):
        (tmp_path / folder).mkdir()
    documents = [{"_id": f"d{i}", "title": "", "text": f"text {i}"} for i in range(6)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in documents))
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "a question"}\n')
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nother\td5\t1\n")
    with gzip.open(tmp_path / "runs" / "bm25.train.top5.trec.gz", "wt") as run:
        run.writelines(f"q Q0 d{i} {i + 1} {9 - i} x\n" for i in range(5))
    source = training_source(tmp_path)
    assert not source.is_labelled and source.usable == ["q"] and "d5" not in source.documents  # judged by a test query
    assert not Sampler([source], 3).example(0).is_labelled
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq\td2\t1\n")
    labelled = training_source(tmp_path)
    assert labelled.is_labelled and Sampler([labelled], 3).example(0).documents[0].id == "d2"
