"""Listwise softmax: the positive against all other candidates of its query."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class Listwise:
    """Cross-entropy of the positive, which stands first in each list: -log softmax(scores)[0], mean over queries.

    Zero only in the limit of an infinitely better positive. Invariant to adding a constant to all scores of a query.
    """

    needs_teacher = False

    def __call__(self, scores: Tensor, teacher: Tensor | None) -> Tensor:
        """Scores [queries, candidates] -> loss []."""
        return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.int64, device=scores.device))


PART = Listwise
