"""Padded batches of documents with similar lengths, as heads read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lateint.heads.inputs import Candidates
from lateint_store import Ragged

# Largest number of padded document tokens in one batch. A fixed budget bounds memory, however many documents there are.
# ONLINE: scoring candidates. On a CPU a batch that fits the caches is faster (docs/log/2026-11-20-tokens-a-batch.md); a GPU
# needs larger batches.
ONLINE_TOKENS, ONLINE_TOKENS_GPU = 4_096, 16_384
# OFFLINE: encoding for a store. On a CPU small batches stay in the caches, and have less padding.
OFFLINE_TOKENS, OFFLINE_TOKENS_GPU = 1_024, 4_096
# UNSTORED: encoding documents that no store holds, while ranking and while training.
UNSTORED_TOKENS = 4_096


@dataclass(frozen=True, slots=True)
class Batch:
    """Some candidates: their indices in the list, and their arrays padded to the longest."""

    indices: NDArray[np.int64]
    docs: Candidates


def batches(
    arrays: Mapping[str, Ragged],
    device: torch.device,
    budget: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Batch]:
    """Yield padded batches of documents with similar lengths, longest first; a batch has at most `budget` padded tokens.

    A longer document is a batch of its own. `budget` defaults to that of online scoring.
    """
    if budget is None:
        budget = ONLINE_TOKENS if device.type == "cpu" else ONLINE_TOKENS_GPU
    by_token = [ragged for ragged in arrays.values() if ragged.spec.rows == "tokens"]
    n = len(next(iter(arrays.values())))
    lengths = np.diff(by_token[0].offsets) if by_token else np.ones(n, dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < n:
        longest = max(1, int(lengths[order[start]]))
        indices = order[start : start + max(1, budget // longest)]
        yield Batch(indices, _padded(arrays, indices, lengths[indices], (device, dtype)))
        start += len(indices)


def _padded(
    arrays: Mapping[str, Ragged],
    indices: NDArray[np.int64],
    lengths: NDArray[np.int64],
    kind: tuple[torch.device, torch.dtype],
) -> Candidates:
    longest, (device, dtype) = int(lengths.max()), kind
    columns = np.arange(longest)
    full = bool((lengths == longest).all())
    mask = None if full else torch.from_numpy(columns[None, :] < lengths[:, None]).to(device)
    padded: dict[str, Tensor] = {}
    for name, ragged in arrays.items():
        if ragged.spec.rows == "one":
            taken = ragged.values[indices]
        else:
            # Padding repeats the document's last row: real numbers that the mask hides, never stale memory.
            inside = np.minimum(columns[None, :], np.maximum(lengths[:, None] - 1, 0))
            taken = ragged.values[ragged.offsets[indices][:, None] + inside]
        wide = torch.from_numpy(np.ascontiguousarray(taken))
        kept = {"token_ids": torch.int64}.get(name, wide.dtype if wide.dtype == torch.uint8 else dtype)
        padded[name] = wide.to(device, kept)
    return Candidates(mask=mask, **padded)


def by_length(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Yield batches of indices of texts with similar lengths, longest first; a batch has at most `budget` padded tokens.

    A longer text is a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size
