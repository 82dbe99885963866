"""The cosine of two stored vectors: the base encoder's own similarity, HPD, early cross-encoder layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from lateint.backbone.base import Backbone
from lateint.backbone.precision import in_float32
from lateint.errors import InputError
from lateint.heads.inputs import Candidates, QuantizedRows, Query, reads_cosines
from lateint.methods.method import Method
from lateint_store import Pipeline


class Cosine(nn.Module):
    """Dot product of unit vectors. Cost a candidate: h multiply-adds.

    `normalise`: stored vectors are not of length 1 (HPD's are bounded by a tanh), so they are normalised here.
    """

    needs_classifier = False
    reads = ("vector",)

    def __init__(self, backbone: Backbone, method: Method, compressor: Any = None, *, normalise: bool = False) -> None:
        super().__init__()
        self.normalise = normalise

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Cosines [n] float32 of n candidates."""
        return cosine(query, docs, self.normalise)

    def can_score_quantized(self, through: Mapping[str, Pipeline]) -> bool:
        """Whether it can score these arrays as they are stored: directions in codes that fill whole bytes."""
        return reads_cosines(through["vector"], self.normalise)

    def score_quantized(self, query: Query, coded: Mapping[str, QuantizedRows]) -> Tensor:
        """Cosines [n] float32 from the bytes of stored vectors; equal to `score` but for rounding."""
        return coded_cosine(query, coded["vector"])


def coded_cosine(query: Query, vectors: QuantizedRows) -> Tensor:
    """Cosines [n] float32 with vectors as they are stored."""
    if query.vector is None:
        raise InputError("a cosine needs the query's vector; set `vector` in the method")
    return vectors.best(query.vector[None])[:, 0]


def cosine(query: Query, docs: Candidates, normalise: bool = False) -> Tensor:
    """Cosines [n] float32; unless they are normalised here, both vectors have length 1 but for what a codec lost."""
    if query.vector is None or docs.vector is None:
        raise InputError("a cosine needs the array 'vector' of both sides; set `vector` in the method")
    return _product(query.vector.float(), docs.vector.float(), normalise)


@in_float32
def _product(ours: Tensor, theirs: Tensor, normalise: bool) -> Tensor:
    return F.normalize(theirs, dim=-1) @ F.normalize(ours, dim=-1) if normalise else theirs @ ours


PART = Cosine
