"""The cosine of two stored vectors: the base encoder's own similarity, HPD, early cross-encoder layers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.errors import InputError
from lateint.method import Method
from lateint.split import Candidates, Query


class Cosine(nn.Module):
    """Dot product of unit vectors. Cost a candidate: h multiply-adds."""

    needs_classifier = False
    reads = ("vector",)

    def __init__(self, backbone: Backbone, method: Method, compressor: Any = None) -> None:
        super().__init__()

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Cosines [n] float32 of n candidates."""
        return cosine(query, docs)


def cosine(query: Query, docs: Candidates) -> Tensor:
    """Cosines [n] float32; both vectors have length 1 but for what a codec lost."""
    if query.vector is None or docs.vector is None:
        raise InputError("a cosine needs the array 'vector' of both sides; set `vector` in the method")
    return docs.vector.float() @ query.vector.float()


PART = Cosine
