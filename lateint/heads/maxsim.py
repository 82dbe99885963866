"""ColBERT's sum of maxima."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.backbone.precision import in_float32
from lateint.errors import InputError
from lateint.heads._validation import check_compares
from lateint.heads.inputs import Candidates, Query
from lateint.methods.method import Method


class MaxSim(nn.Module):
    """Sum, over query tokens, of the best similarity with a real document token. Source: arXiv:2004.12832, Sec. 3.3.

    `scale`, ours: a learned factor, this much at first, so that a teacher's scores of any spread can be met; None, as
    published: none. It changes no order.
    Cost a candidate: q·m·c multiply-adds.
    """

    needs_classifier = False
    reads = ("states",)

    def __init__(self, backbone: Backbone, method: Method, compressor: Any = None, *, scale: float | None = None) -> None:
        super().__init__()
        check_compares(compressor, "maxsim")
        if scale is not None and scale <= 0:
            raise InputError(f"scale={scale} of head 'maxsim'; expected a number above 0")
        self.log_scale = None if scale is None else nn.Parameter(torch.tensor(math.log(scale)))
        self.compressor = (compressor,)

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Scores [n] float32 of n candidates; both sides pass the compressor and meet in c dimensions."""
        if docs.states is None:
            raise InputError("head 'maxsim' reads 'states', which these candidates do not hold")
        compressor, ours = self.compressor[0], query.rows.states[0]
        codes = ours if compressor is None else compressor.compress(ours)
        scores = maxsim(codes.float(), docs.states.float(), docs.mask)
        return scores if self.log_scale is None else scores * self.log_scale.float().exp()


@in_float32
def maxsim(query: Tensor, docs: Tensor, mask: Tensor | None) -> Tensor:
    """Query [q, c], docs [n, m, c], mask [n, m] -> [n]. A pad never wins, even if every similarity is negative.

    >>> maxsim(torch.tensor([[1.0, 0.0]]), torch.tensor([[[-0.5, 0.0], [9.0, 9.0]]]), torch.tensor([[True, False]]))
    tensor([-0.5000])
    """
    sims = docs @ query.T  # [n, m, q]
    if mask is not None:
        sims = sims.masked_fill(~mask[:, :, None], float("-inf"))
    best: Tensor = sims.amax(dim=1)
    return best.sum(dim=1)


PART = MaxSim
