"""A small network over the features of two vectors: DSE."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.compressors._vector import vector_width
from lateint.compressors.base import Compressor
from lateint.errors import InputError
from lateint.heads._validation import require_vectors
from lateint.heads.base import Head
from lateint.heads.inputs import Candidates, Query
from lateint.methods.method import Method


class PairFeatures(Head):
    """[u; v; u*v; |u - v|] -> `hidden` numbers -> ReLU -> the score; u is the query's vector, v the document's.

    Not symmetric in u and v. Source: arXiv:1908.05161, Sec. 3 (hidden 512).
    Cost per candidate: 4·w·hidden multiply-adds for vectors of width w.
    """

    vectors_only = True

    def __init__(self, backbone: Backbone, method: Method, compressor: Compressor | None = None, *, hidden: int = 512) -> None:
        super().__init__(backbone, compressor)
        if isinstance(hidden, bool) or not isinstance(hidden, int) or hidden < 1:
            raise InputError(f"hidden={hidden!r}; expected a whole number from 1 on")
        self.hidden = nn.Linear(4 * vector_width(method, backbone.width), hidden)
        self.readout = nn.Linear(hidden, 1)

    @property
    def reads(self) -> tuple[str, ...]:
        """The stored arrays that scoring needs."""
        return ("vector",)

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Return the scores [n] float32 of n candidates."""
        ours, theirs = require_vectors(query, docs, "pair_features")
        pairs = features(ours.expand_as(theirs), theirs)
        scores: Tensor = self.readout(torch.relu(self.hidden(pairs)))[:, 0]
        return scores.float()


def features(u: Tensor, v: Tensor) -> Tensor:
    """Concatenate the features of two vectors [..., w]: [u; v; u*v; |u - v|], [..., 4·w]."""
    return torch.cat([u, v, u * v, (u - v).abs()], dim=-1)


PART = PairFeatures
