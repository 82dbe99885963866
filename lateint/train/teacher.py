"""The teachers of a stage: fixed models that score lists for the student. Files may keep their scores."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from lateint.loading.load import load_model
from lateint.methods.method import Method
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.train.data import Example
from lateint.train.features import Frozen, Live
from lateint.train.plan import TrainingPlan
from lateint.train.scores import Scores

_FLAT = 1e-6  # a deviation of scores below this is rounding


def load_teachers(plan: TrainingPlan) -> list[Model]:
    """Load the teacher of a plan, then its partners; none if no teacher is named.

    A lateint checkpoint is loaded as it is, a classifier as an unsplit cross-encoder, a bare encoder as its cosine, and a
    model in a package as it was made to be used.
    Raises: InputError, ModelError, DamagedCheckpoint.
    """
    if plan.teacher is None:
        return []

    def load(name: str, method: str | Method | None = None) -> Model:
        query, document = plan.query_max_length, plan.doc_max_length
        return load_model(name, method, query_max_length=query, doc_max_length=document, device=plan.device)

    def named(name: str) -> Model:
        teacher = load(name)
        is_classifier = not teacher.checkpoint and teacher.method.head.name == "joint_layers"
        return load(name, "cross_encoder") if is_classifier else teacher

    first = load(plan.base, plan.teacher) if isinstance(plan.teacher, Method) else named(plan.teacher)
    return [first, *(named(name) for name, _ in plan.partners)]


class Teacher:
    """Scores lists of documents with a fixed model.

    Args: `model`, or None for a copy of the student as it is now, so that labels of a few topics do not overwrite what the
    student knows about all others; `features` of the student, shared if the teacher is that copy and the student's arrays
    are frozen; `scores`, a file to look up scores in before computing them.
    """

    def __init__(self, student: Model, model: Model | None, features: Frozen | Live, scores: Scores | None = None) -> None:
        self.model = copy.deepcopy(student).requires_grad_(False).eval() if model is None else model.eval()
        shared = model is None and type(features) is Frozen
        self.features = features if shared else Frozen(self.model)
        self.scores = scores

    def score(self, examples: Sequence[Example]) -> list[Tensor]:
        """Scores [candidates] float32 of each example."""
        found = [self._look_up(example) for example in examples]
        incomplete = [example for example, known in zip(examples, found, strict=True) if None in known]
        self.features.prepare(
            [example.query for example in incomplete], [document for example in incomplete for document in example.documents]
        )
        scores = []
        for example, known in zip(examples, found, strict=True):
            missing = [index for index, score in enumerate(known) if score is None]
            if missing:
                self._compute(example, known, missing)
            scores.append(torch.tensor(known, dtype=torch.float32, device=self.model.device))
        return scores

    def _look_up(self, example: Example) -> list[float | None]:
        """Return the stored score of each document of an example; None for a missing one."""
        if self.scores is None:
            return [None] * len(example.documents)
        return self.scores.get([(example.query, document.full_text) for document in example.documents])

    def _compute(self, example: Example, known: list[float | None], missing: list[int]) -> None:
        """Compute the scores at the indices `missing`, put them into `known` and keep them."""
        documents: list[Document] = [example.documents[index] for index in missing]
        with torch.no_grad():
            scores = self.model.score(self.features.query(example.query), self.features.candidates(documents)).tolist()
        for index, score in zip(missing, scores, strict=True):
            known[index] = score
        if self.scores is not None:
            self.scores.put([(example.query, document.full_text) for document in documents], scores)


class Ensemble(Teacher):
    """Scores lists with several teachers on one scale, each where it is strong.

    Scores of teachers have different units, so those of a list are brought to mean 0 and deviation 1 for each teacher before
    they are added, each times its share; the sum gets the mean and deviation that the first teacher gives the list. A list of
    one document, or one that a teacher scores equally throughout, has no deviation: there the first teacher decides.

    Args: `first`, whose model losses of layers and vectors read; `partners`, with their shares; the rest is the first's.
    """

    def __init__(self, first: Teacher, partners: Sequence[tuple[Teacher, float]]) -> None:
        self.model = first.model
        self.members = [(first, 1 - sum(share for _, share in partners)), *partners]

    def score(self, examples: Sequence[Example]) -> list[Tensor]:
        """Scores [candidates] float32 of each example."""
        shares = [share for _, share in self.members]
        every = [teacher.score(examples) for teacher, _ in self.members]
        return [combined(list(zip(lists, shares, strict=True))) for lists in zip(*every, strict=True)]


def combined(scored: Sequence[tuple[Tensor, float]]) -> Tensor:
    """Combine scores [candidates] of one list by teachers with shares, on the scale of the first."""
    first = scored[0][0]
    if len(first) < 2 or any(float(scores.std()) < _FLAT for scores, _ in scored):
        return first
    total = torch.stack([share * (scores - scores.mean()) / scores.std() for scores, share in scored]).sum(dim=0)
    return first.mean() + first.std() * total.to(first)
