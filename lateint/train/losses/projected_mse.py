"""Projected-vector MSE: homomorphic projective distillation of a teacher's sentence vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lateint.errors import InputError
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.train.data import Example
from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class ProjectedMse(Loss):
    """MSE of the student's document vectors to the teacher's, projected onto their principal directions.

    The projection is fitted once, on texts of the training sets (`fit`): uncentred, no bias, as wide as the student's
    vector (beyond the teacher's own width: zeros). A student as wide as its teacher learns its vectors as they are: a
    rotation changes no cosine, and would throw away what layers taken from the teacher know. Zero exactly where the
    student gives the projected teacher vector.
    Source: arXiv:2203.07687, Sec. 3 and its code; the mean over coordinates is torch's, as there.
    """

    needs_scores = False
    needs_guide = True

    def __init__(self) -> None:
        self.directions: Tensor | None = None

    def fit(self, model: Model, teacher: Model, documents: Sequence[Document]) -> None:
        """Find the teacher's principal directions [h, width] on some documents."""
        from lateint.compressors._directions import principal

        width = model.width("vector")
        if width is not None and "vector" in teacher.arrays and width == teacher.width("vector"):
            self.directions = torch.eye(width, device=teacher.device)
            return
        vectors = vectors_of(teacher, documents)
        if width is None or len(vectors) < 2:
            raise InputError(f"cannot find {width} directions of {len(vectors)} vectors; give more texts")
        held = principal(vectors, min(width, vectors.shape[1])).to(vectors)
        self.directions = F.pad(held, (0, width - held.shape[1]))

    def targets(self, teacher: Model, documents: Sequence[Document]) -> Tensor:
        """The teacher's projected vectors [n, width]."""
        if self.directions is None:
            raise InputError("loss 'projected_mse' must be fitted on texts before its first step")
        return vectors_of(teacher, documents) @ self.directions

    def __call__(self, outcome: StepOutput) -> Tensor:
        """The loss []."""
        documents = list(dict.fromkeys(Document("", text) for e in outcome.examples for text in _texts(e)))
        model = outcome.model
        ours, _ = model.encode_batch(model.document_tokens(documents))["vector"]
        return (ours.float() - self.targets(outcome.guided("projected_mse"), documents)).pow(2).mean()


def _texts(example: Example) -> list[str]:
    return [example.query, *(document.full_text for document in example.documents)]


@torch.no_grad()
def vectors_of(model: Model, documents: Sequence[Document]) -> Tensor:
    """Vectors [n, h] float32 of a model that has them. Raises: InputError for a model without."""
    if "vector" not in model.arrays:
        raise InputError(f"teacher {model.name} gives no vector of a text; name a sentence encoder")
    found = []
    for start in range(0, len(documents), 64):
        rows = model.document_tokens(documents[start : start + 64])
        found.append(model.encode_batch(rows)["vector"][0].float())
    return torch.cat(found)


PART = ProjectedMse
