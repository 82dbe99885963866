"""Replace token states by the means of clusters of similar states."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lateint.backbone.layer import TokenStates
from lateint.backbone.tokenizer import TextEncoder
from lateint.errors import InputError
from lateint.kernels.ward import ward_labels
from lateint.pools.base import Pool


class Clusters(Pool):
    """States [n, t, h] -> cluster means [n, k, h], with k = ceil(m / factor) for a text of m real tokens.

    Clusters come from Ward's hierarchical clustering of the states' directions. Means are ordered by the first token of
    their cluster, and take its position. The assignment has no gradient; the means pass gradients on. Special tokens are
    clustered like others. `factor` 1 changes nothing.
    Cost: m²·h multiply-adds and O(m²) steps per text. Source: arXiv:2409.14683, Sec. 3.
    """

    def __init__(self, texts: TextEncoder, *, factor: int = 2) -> None:
        super().__init__(texts)
        if factor < 1:
            raise InputError(f"pool 'clusters': factor={factor}; expected at least 1 token per cluster")
        self.factor = factor

    def __call__(self, rows: TokenStates, ids: Tensor) -> TokenStates:
        """Return the means, with a mask if texts have different numbers of clusters."""
        if self.factor == 1:
            return rows
        labels = self._labels(rows)
        counts = [int(own.max()) + 1 for own in labels]
        n, t, k = len(labels), rows.states.shape[1], max(counts)
        shares, first = np.zeros((n, k, t), np.float32), np.zeros((n, k), np.int64)
        for text, own in enumerate(labels):
            real = own >= 0
            shares[text, own[real], np.flatnonzero(real)] = 1
            first[text] = shares[text].argmax(axis=1)
        shares /= np.maximum(shares.sum(axis=2, keepdims=True), 1)
        device = rows.states.device
        means = torch.from_numpy(shares).to(rows.states) @ rows.states
        mask = torch.arange(k, device=device) < torch.tensor(counts, device=device)[:, None]
        positions = rows.positions.gather(1, torch.from_numpy(first).to(device))
        return TokenStates(means, positions, None if min(counts) == k else mask)

    @torch.no_grad()
    def _labels(self, rows: TokenStates) -> list[NDArray[np.int64]]:
        """Return the cluster number of every state of each text, -1 for padding."""
        unit = F.normalize(rows.states.detach().double(), dim=-1)
        apart = (2 - 2 * unit @ unit.transpose(1, 2)).clamp_min(0).cpu().numpy()
        real: Any = np.ones(apart.shape[:2], bool) if rows.mask is None else rows.mask.cpu().numpy()
        found = []
        for own, kept in zip(apart, real, strict=True):
            labels = np.full(len(kept), -1)
            m = int(kept.sum())
            labels[kept] = ward_labels(own[np.ix_(kept, kept)], -(-m // self.factor)) if m else 0
            found.append(labels)
        return found


PART = Clusters
