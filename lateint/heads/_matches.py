"""Best matches: how well each query word is found among a document's rows, and what all words together say."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lateint.backbone.precision import in_float32


@in_float32
def best_matches(ours: Tensor, theirs: Tensor, mask: Tensor | None, *, lengths: bool = False) -> Tensor:
    """The largest cosine of each query row with a document's rows: [n, q]; a pad never wins.

    Args: `ours` [q, c], or [n, q, c] if every document has query rows of its own; `theirs` [n, m, c]; `mask` [n, m] bool,
    True where a row is real; `lengths`: those of `theirs` count, as inner products have them.
    Cost: n·m·q·c multiply-adds.
    """
    directions = theirs.float() if lengths else F.normalize(theirs.float(), dim=-1)
    similar = directions @ F.normalize(ours.float(), dim=-1).transpose(-1, -2)  # [n, m, q]
    if mask is not None:
        similar = similar.masked_fill(~mask[:, :, None], -1.0)
    found: Tensor = similar.amax(dim=1)
    return found


@in_float32
def word_mean(best: Tensor, logits: Tensor, words: Tensor) -> Tensor:
    """The mean of best matches [n, q] over words [q], weighted by softplus of logits [q] or [n, q]: [n]."""
    weight = F.softplus(logits) * words
    return (best * weight).sum(dim=-1) / weight.sum(dim=-1).clamp_min(1e-6)


class Matches(nn.Module):
    """score = tau·cos(mean query row, mean document row) + eps·Σ w_i·max_j cos(P q_i, d_j) / Σ w_i over words i, rows j.

    Rows are those of a joint sequence, so that every document has query rows of its own; w_i = softplus of a linear map of
    q_i. The query's mean is over its words, the document's over all its real rows. Fresh: P is the identity, all weights
    are equal, tau = 5 and eps = 40; `calibrated`: tau = 8, eps = 12, and a learned constant, at first -16, so that the
    score is a logit, positive for about half of the sentence pairs. Float32 whatever the dtype of the rows.
    Source: lateint. Cost a candidate: q·m·h + q·h² multiply-adds.
    """

    def __init__(self, width: int, *, calibrated: bool = False) -> None:
        super().__init__()
        self.query_map = nn.Linear(width, width, bias=False)
        self.weight = nn.Linear(width, 1)
        tau, eps = (8.0, 12.0) if calibrated else (5.0, 40.0)
        self.log_tau = nn.Parameter(torch.tensor(math.log(tau)))
        self.log_eps = nn.Parameter(torch.tensor(math.log(eps)))
        self.constant = nn.Parameter(torch.tensor(-16.0)) if calibrated else None
        with torch.no_grad():
            self.query_map.weight.copy_(torch.eye(width))
            self.weight.weight.zero_()
            self.weight.bias.zero_()

    @in_float32
    def forward(self, query: Tensor, words: Tensor, document: Tensor, mask: Tensor | None) -> Tensor:
        """Query rows [n, q, h], words [q] bool, document rows [n, m, h], mask [n, m] -> scores [n] float32."""
        ours, theirs = query.float(), document.float()
        real = torch.ones(theirs.shape[:2], device=theirs.device) if mask is None else mask.float()
        cosine = F.cosine_similarity(_mean(ours, words.float().expand(ours.shape[:2])), _mean(theirs, real), dim=-1)
        best = best_matches(F.linear(ours, self.query_map.weight.float()), theirs, mask)
        logits = F.linear(ours, self.weight.weight.float(), self.weight.bias.float())[..., 0]
        scores: Tensor = self.log_tau.float().exp() * cosine + self.log_eps.float().exp() * word_mean(best, logits, words)
        return scores if self.constant is None else scores + self.constant.float()


def _mean(rows: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of rows [n, t, h]: [n, h]."""
    return (rows * weight[:, :, None]).sum(dim=1) / weight.sum(dim=1, keepdim=True).clamp_min(1e-6)


def linear_readout(width: int, std: float = 0.02) -> nn.Module:
    """One linear map of a row to a score, small when fresh."""
    readout = nn.Linear(width, 1)
    nn.init.zeros_(readout.bias)
    nn.init.normal_(readout.weight, std=std)
    return readout
