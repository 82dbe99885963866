"""The cosine of two vectors: the base encoder's own similarity, HPD, early cross-encoder layers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from lateint.backbone.base import Backbone
from lateint.backbone.precision import in_float32
from lateint.compressors.base import Compressor
from lateint.errors import InputError
from lateint.heads.base import QuantizedHead
from lateint.heads.inputs import Candidates, QuantizedRows, Query, holds_cosines
from lateint.methods.method import Method
from lateint_store import Pipeline


class Cosine(QuantizedHead):
    """Dot product of unit vectors. Cost per candidate: h multiply-adds.

    `normalise`: stored vectors are not of length 1 (HPD's are bounded by a tanh), so they are normalised here.
    """

    vectors_only = True

    def __init__(
        self, backbone: Backbone, method: Method, compressor: Compressor | None = None, *, normalise: bool = False
    ) -> None:
        super().__init__(backbone, compressor)
        self.normalise = normalise

    @property
    def reads(self) -> tuple[str, ...]:
        """The stored arrays that scoring needs."""
        return ("vector",)

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Return the cosines [n] float32 of n candidates."""
        return cosine(query, docs, self.normalise)

    def can_score_quantized(self, pipelines: Mapping[str, Pipeline]) -> bool:
        """True if stored vectors are byte-aligned direction codes."""
        return holds_cosines(pipelines["vector"], self.normalise)

    def score_quantized(self, query: Query, rows: Mapping[str, QuantizedRows]) -> Tensor:
        """Return the cosines [n] float32 from the bytes of stored vectors; equal to `score` but for rounding."""
        return quantized_cosine(query, rows["vector"])


def quantized_cosine(query: Query, vectors: QuantizedRows) -> Tensor:
    """Return the cosines [n] float32 with vectors in their stored bytes. Raises: InputError for a query without a vector."""
    if query.vector is None:
        raise InputError("a cosine needs the query's vector; set `vector` in the method")
    return vectors.max_similarity(query.vector[None])[:, 0]


def cosine(query: Query, docs: Candidates, normalise: bool = False) -> Tensor:
    """Return the cosines [n] float32; both vectors have length 1 but for the codec's loss, or are normalised here.

    Raises: InputError if a side has no vector.
    """
    if query.vector is None or docs.vector is None:
        raise InputError("a cosine needs the array 'vector' of both sides; set `vector` in the method")
    return _product(query.vector.float(), docs.vector.float(), normalise)


@in_float32
def _product(ours: Tensor, theirs: Tensor, normalise: bool) -> Tensor:
    return F.normalize(theirs, dim=-1) @ F.normalize(ours, dim=-1) if normalise else theirs @ ours


PART = Cosine
