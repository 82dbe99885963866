import pytest

from lateint_eval.datasets.stdlib.passages import build_passages
from lateint_eval.datasets.stdlib.questions import judged_ids, load_questions

SPLITS = ("dev", "test")


@pytest.fixture(scope="module")
def ids():
    return {passage.id for passage in build_passages()}


@pytest.mark.parametrize("split", SPLITS)
def test_each_split_has_sixty_questions_or_more_and_loses_none_on_this_python(ids, split):
    questions = load_questions(split, ids)
    assert len(questions.kept) >= 60
    assert questions.dropped == 0


def test_every_judged_passage_exists_on_this_python(ids):
    assert judged_ids() - ids == set()


def test_no_question_and_no_id_repeats(ids):
    questions = [question for split in SPLITS for question in load_questions(split, ids).kept]
    assert len({question.text.casefold() for question in questions}) == len(questions) >= 150
    assert len({question.id for question in questions}) == len(questions)


@pytest.mark.parametrize("split", SPLITS)
def test_one_to_three_answers_are_judged_and_one_is_a_best_answer(ids, split):
    for answers in load_questions(split, ids).qrels.values():
        assert 1 <= len(answers) <= 3
        assert set(answers.values()) in ({2}, {1, 2})


@pytest.mark.parametrize("split", SPLITS)
def test_no_question_gives_the_qualified_name_away(ids, split):
    for question in load_questions(split, ids).kept:
        dotted = [answer for answer in question.answers if "." in answer]
        assert not any(answer in question.text for answer in dotted)


def test_answers_outside_the_corpus_go_and_questions_without_any_are_counted(ids):
    everything = load_questions("dev", ids)
    asked = next(question for question in everything.kept if len(question.answers) > 1)
    one = min(asked.answers)
    questions = load_questions("dev", [one])
    assert questions.qrels[asked.id] == {one: asked.answers[one]}
    assert len(questions.kept) + questions.dropped == len(everything.kept)
    assert all(set(question.answers) == {one} for question in questions.kept)
