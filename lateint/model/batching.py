"""Decoded entries of some documents, and how a head gets them: padded batches of similar length."""

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
# needs more work at once.
ONLINE_TOKENS, ONLINE_TOKENS_GPU = 4_096, 16_384
# OFFLINE: encoding for a store. On a CPU small batches stay in the caches, and have less padding.
OFFLINE_TOKENS, OFFLINE_TOKENS_GPU = 1_024, 4_096
# UNSTORED: encoding documents that no store holds, while ranking and while training.
UNSTORED_TOKENS = 4_096


@dataclass(frozen=True, slots=True)
class Batch:
    """Some candidates at once: their places in the list, and their arrays padded to the longest."""

    places: NDArray[np.int64]
    docs: Candidates


def batches(
    arrays: Mapping[str, Ragged],
    device: torch.device,
    budget: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Batch]:
    """Padded batches of similar length, longest first, each of at most `budget` padded tokens (or one document)."""
    if budget is None:
        budget = ONLINE_TOKENS if device.type == "cpu" else ONLINE_TOKENS_GPU
    by_token = [ragged for ragged in arrays.values() if ragged.spec.rows == "tokens"]
    n = len(next(iter(arrays.values())))
    lengths = np.diff(by_token[0].offsets) if by_token else np.ones(n, dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < n:
        longest = max(1, int(lengths[order[start]]))
        places = order[start : start + max(1, budget // longest)]
        yield Batch(places, _padded(arrays, places, lengths[places], (device, dtype)))
        start += len(places)


def _padded(
    arrays: Mapping[str, Ragged],
    places: NDArray[np.int64],
    lengths: NDArray[np.int64],
    kind: tuple[torch.device, torch.dtype],
) -> Candidates:
    longest, (device, dtype) = int(lengths.max()), kind
    columns = np.arange(longest)
    full = bool((lengths == longest).all())
    mask = None if full else torch.from_numpy(columns[None, :] < lengths[:, None]).to(device)
    found: dict[str, Tensor] = {}
    for name, ragged in arrays.items():
        if ragged.spec.rows == "one":
            taken = ragged.values[places]
        else:
            # A pad repeats the document's last row: real numbers that the mask hides, never stale memory.
            inside = np.minimum(columns[None, :], np.maximum(lengths[:, None] - 1, 0))
            taken = ragged.values[ragged.offsets[places][:, None] + inside]
        wide = torch.from_numpy(np.ascontiguousarray(taken))
        kept = {"token_ids": torch.int64}.get(name, wide.dtype if wide.dtype == torch.uint8 else dtype)
        found[name] = wide.to(device, kept)
    return Candidates(mask=mask, **found)


def by_length(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Places in batches of similar length, longest first, each of at most `budget` padded tokens (or one text)."""
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size
