"""The teacher: a fixed model whose scores, kept on disk if a file is given, guide the student."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from lateint.model.document import Document
from lateint.model.model import Model
from lateint.train.data import Example
from lateint.train.features import Frozen, Live
from lateint.train.scores import Scores


class Guide:
    """Scores of a fixed model.

    Args: `model`, the teacher; None: the student as it is now, which keeps labels of a few topics from pushing out what
    it knows of all others; `features` of the student, shared where the teacher is the student and its arrays are frozen;
    `scores`, a file to look up before computing.
    """

    def __init__(self, student: Model, model: Model | None, features: Frozen | Live, scores: Scores | None = None) -> None:
        self.model = copy.deepcopy(student).requires_grad_(False).eval() if model is None else model.eval()
        shared = model is None and isinstance(features, Frozen)
        self.source = features if shared else Frozen(self.model)
        self.scores = scores

    def score(self, examples: Sequence[Example]) -> list[Tensor]:
        """Scores [candidates] of each example."""
        found = [self._known(example) for example in examples]
        unknown = [example for example, known in zip(examples, found, strict=True) if None in known]
        needed = [document for example in unknown for document in example.documents]
        self.source.prepare([example.query for example in unknown], needed)
        out = []
        for example, known in zip(examples, found, strict=True):
            lacking = [place for place, score in enumerate(known) if score is None]
            if lacking:
                self._fill(example, known, lacking)
            out.append(torch.tensor(known, dtype=torch.float32, device=self.model.device))
        return out

    def _known(self, example: Example) -> list[float | None]:
        if self.scores is None:
            return [None] * len(example.documents)
        return self.scores.get([(example.query, document.full_text) for document in example.documents])

    def _fill(self, example: Example, known: list[float | None], places: list[int]) -> None:
        documents: list[Document] = [example.documents[place] for place in places]
        with torch.no_grad():
            scores = self.model.score(self.source.query(example.query), self.source.candidates(documents)).tolist()
        for place, score in zip(places, scores, strict=True):
            known[place] = score
        if self.scores is not None:
            self.scores.put([(example.query, document.full_text) for document in documents], scores)
