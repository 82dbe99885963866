"""The questions of the demo, in the words of somebody who does not know the name, with graded answers."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from lateint_eval.formats.records import Json


@dataclass(frozen=True, slots=True)
class Question:
    """A question; `answers` maps passage ids to grades: 2 for a best answer, 1 for one that also answers."""

    id: str
    text: str
    answers: dict[str, int]


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions that this Python's documentation can answer, and the number of those that it cannot."""

    kept: list[Question]
    dropped: int

    @property
    def qrels(self) -> dict[str, dict[str, int]]:
        """Judgements: question id -> passage id -> grade."""
        return {question.id: question.answers for question in self.kept}


def load_questions(split: Literal["dev", "test"], passage_ids: Collection[str]) -> Questions:
    """Load one half of the questions.

    Args: split "dev" is for choosing, "test" is for showing; passage_ids are those of the corpus.
    Returns: in order, the questions with an answer in the corpus, without the answers that are not in it; the other
    questions are counted.
    """
    present = frozenset(passage_ids)
    found = [
        Question(row["id"], row["question"], {key: grade for key, grade in row["answers"].items() if key in present})
        for row in _rows()
        if row["split"] == split
    ]
    kept = [question for question in found if question.answers]
    return Questions(kept, len(found) - len(kept))


def judged_ids() -> frozenset[str]:
    """Return every passage id that a question of either split judges."""
    return frozenset(answer for row in _rows() for answer in row["answers"])


@cache
def _rows() -> tuple[Json, ...]:
    text = resources.files("lateint_eval.datasets.stdlib").joinpath("questions.jsonl").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines())
