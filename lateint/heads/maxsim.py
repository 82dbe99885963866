"""ColBERT's sum of maxima."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.backbone.precision import in_float32
from lateint.compressors.base import Compressor
from lateint.errors import InputError
from lateint.heads._validation import check_compares, require_states
from lateint.heads.base import Head, TokenShares
from lateint.heads.inputs import Candidates, Query
from lateint.methods.method import Method


class MaxSim(Head):
    """Sum, over query tokens, of the largest similarity with a real document token. Source: arXiv:2004.12832, Sec. 3.3.

    `scale`, ours: a learned factor with this initial value, so that the student can match the spread of a teacher's scores;
    None, as published: no factor. It does not change the order of candidates.
    Cost per candidate: q·m·c multiply-adds.
    """

    def __init__(
        self, backbone: Backbone, method: Method, compressor: Compressor | None = None, *, scale: float | None = None
    ) -> None:
        super().__init__(backbone, compressor)
        check_compares(compressor, "maxsim")
        if scale is not None and scale <= 0:
            raise InputError(f"scale={scale} of head 'maxsim'; expected a number above 0")
        self.log_scale = None if scale is None else nn.Parameter(torch.tensor(math.log(scale)))

    @property
    def reads(self) -> tuple[str, ...]:
        """The stored arrays that scoring needs."""
        return ("states",)

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Return the scores [n] float32 of n candidates; both sides are compared in c dimensions."""
        scores = maxsim(self._codes(query), require_states(docs, "maxsim").float(), docs.mask)
        return scores if self.log_scale is None else scores * self.log_scale.float().exp()

    def explain(self, query: Query, docs: Candidates) -> TokenShares:
        """Split the score of one candidate: a share for every query token, special ones included."""
        found = inner_products(self._codes(query), require_states(docs, "maxsim").float(), docs.mask)[0]
        return TokenShares.of(found, found.new_ones(()) if self.log_scale is None else self.log_scale.float().exp())

    def _codes(self, query: Query) -> Tensor:
        """Return the query's codes [q, c] float32."""
        ours = query.rows.states[0]
        return (ours if self.compressor is None else self.compressor.compress(ours)).float()


@in_float32
def maxsim(query: Tensor, docs: Tensor, mask: Tensor | None) -> Tensor:
    """Sum the maxima: query [q, c], docs [n, m, c], mask [n, m] -> [n]. Padding never wins, even if all similarities are < 0.

    >>> maxsim(torch.tensor([[1.0, 0.0]]), torch.tensor([[[-0.5, 0.0], [9.0, 9.0]]]), torch.tensor([[True, False]]))
    tensor([-0.5000])
    """
    maxima: Tensor = inner_products(query, docs, mask).amax(dim=1)
    return maxima.sum(dim=1)


def inner_products(query: Tensor, docs: Tensor, mask: Tensor | None) -> Tensor:
    """Return the inner product of each query row with each document row: [n, m, q]; minus infinity for padding."""
    found = docs @ query.T
    return found if mask is None else found.masked_fill(~mask[:, :, None], float("-inf"))


PART = MaxSim
