"""Projected-vector MSE: homomorphic projective distillation of a teacher's sentence vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lateint.compressors._directions import principal
from lateint.errors import InputError
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.train.data import Example
from lateint.train.losses.base import Loss
from lateint.train.step import StepOutput


class ProjectedMse(Loss):
    """MSE between the student's document vectors and the teacher's, projected onto their principal directions.

    `fit` finds the projection once, on texts of the training sets: uncentred, without a bias, as wide as the student's
    vector (zeros beyond the teacher's width). A student as wide as its teacher learns the teacher's vectors without
    projection: a rotation would change no cosine, but would make layers copied from the teacher unlearn their output. Zero
    exactly where the student's vector is the projected vector of the teacher.
    Source: arXiv:2203.07687, Sec. 3 and its code; the mean over coordinates is torch's, as there.
    """

    needs_scores = False
    needs_teacher_model = True

    def __init__(self) -> None:
        self.directions: Tensor | None = None

    def fit(self, student: Model, teacher: Model, documents: Sequence[Document]) -> None:
        """Find the teacher's principal directions [h, width] on documents. Raises: InputError for too few vectors."""
        width = student.width("vector")
        if width is not None and "vector" in teacher.arrays and width == teacher.width("vector"):
            self.directions = torch.eye(width, device=teacher.device)
            return
        vectors = vectors_of(teacher, documents)
        if width is None or len(vectors) < 2:
            raise InputError(f"cannot find {width} directions of {len(vectors)} vectors; give more texts")
        held = principal(vectors, min(width, vectors.shape[1])).to(vectors)
        self.directions = F.pad(held, (0, width - held.shape[1]))

    def targets(self, teacher: Model, documents: Sequence[Document]) -> Tensor:
        """Return the teacher's projected vectors [n, width]. Raises: InputError before `fit`."""
        if self.directions is None:
            raise InputError("loss 'projected_mse' must be fitted on texts before its first step")
        return vectors_of(teacher, documents) @ self.directions

    def __call__(self, step: StepOutput) -> Tensor:
        """Compute the loss []."""
        documents = list(dict.fromkeys(Document("", text) for e in step.examples for text in _texts(e)))
        model = step.model
        ours, _ = model.encode_batch(model.document_tokens(documents))["vector"]
        return (ours.float() - self.targets(step.require_teacher("projected_mse"), documents)).pow(2).mean()


def _texts(example: Example) -> list[str]:
    return [example.query, *(document.full_text for document in example.documents)]


@torch.no_grad()
def vectors_of(model: Model, documents: Sequence[Document]) -> Tensor:
    """Return vectors [n, h] float32 of documents. Raises: InputError for a model without vectors."""
    if "vector" not in model.arrays:
        raise InputError(f"teacher {model.name} gives no vector of a text; name a sentence encoder")
    found = []
    for start in range(0, len(documents), 64):
        rows = model.document_tokens(documents[start : start + 64])
        found.append(model.encode_batch(rows)["vector"][0].float())
    return torch.cat(found)


PART = ProjectedMse
