"""A small network over the features of two vectors: DSE."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.compressors._vector import vector_width
from lateint.errors import InputError
from lateint.heads.inputs import Candidates, Query
from lateint.methods.method import Method


class PairFeatures(nn.Module):
    """[u; v; u*v; |u - v|] -> `hidden` numbers -> ReLU -> the score; u is the query's vector, v the document's.

    Not symmetric in u and v. Source: arXiv:1908.05161, Sec. 3 (hidden 512).
    Cost a candidate: 4·w·hidden multiply-adds for vectors of width w.
    """

    needs_classifier = False
    reads = ("vector",)

    def __init__(self, backbone: Backbone, method: Method, compressor: Any = None, *, hidden: int = 512) -> None:
        super().__init__()
        if isinstance(hidden, bool) or not isinstance(hidden, int) or hidden < 1:
            raise InputError(f"hidden={hidden!r}; expected a whole number from 1 on")
        self.hidden = nn.Linear(4 * vector_width(method, backbone.width), hidden)
        self.readout = nn.Linear(hidden, 1)

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Scores [n] float32 of n candidates."""
        if query.vector is None or docs.vector is None:
            raise InputError("head 'pair_features' reads 'vector' of both sides; set `vector` in the method")
        found = features(query.vector.expand_as(docs.vector), docs.vector)
        scores: Tensor = self.readout(torch.relu(self.hidden(found)))[:, 0]
        return scores.float()


def features(u: Tensor, v: Tensor) -> Tensor:
    """Two vectors [..., w] -> [u; v; u*v; |u - v|], [..., 4·w]."""
    return torch.cat([u, v, u * v, (u - v).abs()], dim=-1)


PART = PairFeatures
