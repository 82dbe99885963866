"""Max similarities of query tokens with a document's tokens, and a readout that combines them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lateint.backbone.layer import TokenStates
from lateint.backbone.precision import in_float32
from lateint.heads.base import TokenShares


@in_float32
def max_similarities(ours: Tensor, theirs: Tensor, mask: Tensor | None, *, inner_product: bool = False) -> Tensor:
    """Return the largest cosine of each query row with a document's rows: [n, q]; padding never wins.

    Args: `ours` [q, c], or [n, q, c] if each document has its own query rows; `theirs` [n, m, c]; `mask` [n, m] bool,
    True where a row is real; `inner_product`: do not normalise `theirs`.
    Cost: n·m·q·c multiply-adds.
    """
    maxima: Tensor = similarities(ours, theirs, mask, inner_product=inner_product).amax(dim=1)
    return maxima


def similarities(ours: Tensor, theirs: Tensor, mask: Tensor | None, *, inner_product: bool = False) -> Tensor:
    """Return the cosine of each query row with each row of a document: [n, m, q]; -1 for padding. Arguments as above."""
    directions = theirs.float() if inner_product else F.normalize(theirs.float(), dim=-1)
    found = directions @ F.normalize(ours.float(), dim=-1).transpose(-1, -2)
    return found if mask is None else found.masked_fill(~mask[:, :, None], -1.0)


def same_words(query: Tensor, documents: Tensor, mask: Tensor | None) -> Tensor:
    """Return which rows are the word piece of a query row, bool [n, m, q], for ids [q] and [n, m]; padding is none."""
    same = documents[:, :, None] == query
    return same if mask is None else same & mask[:, :, None]


@in_float32
def weighted_mean(similarity: Tensor, logits: Tensor, text_mask: Tensor) -> Tensor:
    """Average max similarities [n, q] over text tokens [q], weighted by softplus of logits [q] or [n, q]: [n]."""
    weight = F.softplus(logits) * text_mask
    return (similarity * weight).sum(dim=-1) / weight.sum(dim=-1).clamp_min(1e-6)


def weights_of_mean(logits: Tensor, text_mask: Tensor) -> Tensor:
    """Return the weight of each similarity in `weighted_mean`: float32 [q] or [n, q], which sum to 1."""
    weight = F.softplus(logits) * text_mask
    return weight.float() / weight.sum(dim=-1, keepdim=True).clamp_min(1e-6).float()


class Matches(nn.Module):
    """score = tau·cos(mean query row, mean document row) + eps·Σ w_i·max_j cos(P q_i, d_j) / Σ w_i, text tokens i, rows j.

    Rows are those of a joint sequence, so each document has its own query rows; w_i is softplus of a linear map of
    q_i. The query's mean is over its text tokens, the document's over all its real rows. Fresh: P is the identity, all
    weights are equal, tau = 5 and eps = 40; `calibrated`: tau = 8, eps = 12, and a learned constant that starts at -16, so
    that the score is a logit, positive for about half of the sentence pairs. Computed in float32 for rows of any dtype.
    Source: lateint. Cost per candidate: q·m·h + q·h² multiply-adds.
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
    def forward(self, query: Tensor, text_mask: Tensor, document: Tensor, mask: Tensor | None) -> Tensor:
        """Map query rows [n, q, h], text mask [q] bool, document rows [n, m, h], mask [n, m] to scores [n] float32."""
        ours, theirs = query.float(), document.float()
        similarity = max_similarities(F.linear(ours, self.query_map.weight.float()), theirs, mask)
        evidence = weighted_mean(similarity, self._weight_logits(ours), text_mask)
        scores: Tensor = self._cosine_term(ours, text_mask, theirs, mask) + self.log_eps.float().exp() * evidence
        return scores if self.constant is None else scores + self.constant.float()

    def explain(self, query: Tensor, text_mask: Tensor, document: Tensor, mask: Tensor | None) -> TokenShares:
        """Split the score of one candidate: query rows [1, q, h], document rows [1, m, h]."""
        ours, theirs = query.float(), document.float()
        similarity = similarities(F.linear(ours, self.query_map.weight.float()), theirs, mask)[0]
        factor = self.log_eps.float().exp() * weights_of_mean(self._weight_logits(ours)[0], text_mask)
        parts = {"cosine_of_means": self._cosine_term(ours, text_mask, theirs, mask)}
        if self.constant is not None:
            parts["constant"] = self.constant
        return TokenShares.of(similarity, factor, text_mask, **parts)

    def _cosine_term(self, ours: Tensor, text_mask: Tensor, theirs: Tensor, mask: Tensor | None) -> Tensor:
        """Return tau·cosine of the mean rows of both sides, [n]."""
        real = torch.ones(theirs.shape[:2], dtype=torch.float32, device=theirs.device) if mask is None else mask.float()
        text = text_mask.float().expand(ours.shape[:2])
        cosine = F.cosine_similarity(_mean(ours, text), _mean(theirs, real), dim=-1)
        return self.log_tau.float().exp() * cosine

    def _weight_logits(self, ours: Tensor) -> Tensor:
        """Return the logits of the weights of query rows, [n, q]."""
        return F.linear(ours, self.weight.weight.float(), self.weight.bias.float())[..., 0]


def split_rows(rows: TokenStates, text_mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Split joint rows into the arguments of `Matches`; `text_mask` [q] has one value per query row."""
    q = len(text_mask)
    mask = None if rows.mask is None else rows.mask[:, q:]
    return rows.states[:, :q], text_mask, rows.states[:, q:], mask


def _mean(rows: Tensor, weight: Tensor) -> Tensor:
    """Average rows [n, t, h] with weights [n, t]: [n, h]."""
    return (rows * weight[:, :, None]).sum(dim=1) / weight.sum(dim=1, keepdim=True).clamp_min(1e-6)


def linear_readout(width: int, std: float = 0.02) -> nn.Linear:
    """Build a linear map from a row to a score, with small fresh weights and no bias."""
    readout = nn.Linear(width, 1)
    nn.init.zeros_(readout.bias)
    nn.init.normal_(readout.weight, std=std)
    return readout
