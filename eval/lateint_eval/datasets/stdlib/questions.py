"""The questions of the demo, asked without knowing the name of the answer, with graded answers."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from lateint_eval.formats.records import Json


@dataclass(frozen=True, slots=True)
class Question:
    """A question; `answers` maps passage ids to grades: 2 for a best answer, 1 for another answer."""

    id: str
    text: str
    answers: dict[str, int]


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions that this Python's documentation answers, and the number of the others."""

    kept: list[Question]
    dropped: int

    @property
    def qrels(self) -> dict[str, dict[str, int]]:
        """Return {question id: {passage id: grade}}."""
        return {question.id: question.answers for question in self.kept}


def load_questions(split: Literal["dev", "test"], passage_ids: Collection[str]) -> Questions:
    """Load one split of the questions.

    Args: `split` "dev" is for selection, "test" for reports; `passage_ids` are the ids of the corpus.
    Returns: the questions that have an answer in the corpus, in order, with only those answers; the others are counted.
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
    """Return all passage ids that are judged for a question of either split."""
    return frozenset(answer for row in _rows() for answer in row["answers"])


@cache
def _rows() -> tuple[Json, ...]:
    text = resources.files("lateint_eval.datasets.stdlib").joinpath("questions.jsonl").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines())
