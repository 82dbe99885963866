"""ColBERT's sum of maxima."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.errors import InputError
from lateint.heads._codes import check_compares
from lateint.heads._precision import in_float32
from lateint.method import Method
from lateint.split import Candidates, Query


class MaxSim(nn.Module):
    """Sum, over query tokens, of the best similarity with a real document token. Source: arXiv:2004.12832, Sec. 3.3.

    Cost a candidate: q·m·c multiply-adds.
    """

    needs_classifier = False
    reads = ("states",)

    def __init__(self, backbone: Backbone, method: Method, compressor: Any = None) -> None:
        super().__init__()
        check_compares(compressor, "maxsim")
        self.compressor = (compressor,)

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Scores [n] float32 of n candidates; both sides pass the compressor and meet in c dimensions."""
        if docs.states is None:
            raise InputError("head 'maxsim' reads 'states', which these candidates do not hold")
        compressor, ours = self.compressor[0], query.rows.states[0]
        return maxsim((ours if compressor is None else compressor.compress(ours)).float(), docs.states.float(), docs.mask)


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
