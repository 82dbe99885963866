"""All vectors of a store in one matrix, and which rows of it belong to which document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from lateint.errors import InputError
from lateint.indexing.store import Store

Floats = NDArray[np.float32]
Places = NDArray[np.int64]
ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Vectors of n documents: document i has the rows starts[i]:starts[i + 1], one unless it was cut into chunks.

    `ids` [n]; `matrix` [rows, h] float32; `starts` int64 [n + 1]. Memory: 4·rows·h bytes and the ids.
    """

    ids: Sequence[str]
    matrix: Floats
    starts: Places

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def whole(self) -> bool:
        """True if every document has one row."""
        return len(self.ids) == len(self.matrix)

    def scores(self, places: Places, query: Floats) -> Floats:
        """Dot products [k] of some documents with a query [h], the best of a document's rows (MaxP).

        Each is computed alone: it does not depend on the company, so equal vectors have equal scores.
        """
        sizes = self.starts[places + 1] - self.starts[places]
        first = np.cumsum(sizes) - sizes
        rows = np.arange(sizes.sum()) + np.repeat(self.starts[places] - first, sizes)
        parts = (rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE))
        found: Floats = np.concatenate([np.vecdot(self.matrix[part], query) for part in parts])
        return np.maximum.reduceat(found, first)


def load_vectors(store: Store, dtype: torch.dtype = torch.float32, normalise: bool = False) -> Vectors:
    """Decode all vectors of a store, in order, rounded to `dtype` and brought to length 1 as a cosine head sees them.

    These are the documents of the moment when the reading begins; one page of the store is decoded at a time.
    Raises: InputError for an empty store; DamagedStore; StoreError if the store is compacted meanwhile.
    """
    matrix = np.empty((len(store), store.manifest.specs["vector"].spec.columns), np.float32)
    ids: list[str] = []
    for page in store.scan(["vector"]):
        start, end = len(ids), len(ids) + len(page)
        if end > len(matrix):  # some were added after the count, or deleted before it and after they were read
            matrix.resize((end, matrix.shape[1]), refcheck=False)
        matrix[start:end] = store.decode(page)["vector"].values
        _round(torch.from_numpy(matrix[start:end]), dtype, normalise)
        ids.extend(page.ids)
    if not ids:
        raise InputError(f"store {store.path} holds no documents; there is nothing to retrieve")
    matrix = matrix[: len(ids)]
    if store.chunks is None:
        return Vectors(ids, matrix, np.arange(len(ids) + 1))
    owners = [entry_id.rpartition("#")[0] for entry_id in ids]  # a document's chunks stand together
    starts = [place for place, owner in enumerate(owners) if place == 0 or owner != owners[place - 1]]
    return Vectors([owners[place] for place in starts], matrix, np.array([*starts, len(ids)], np.int64))


def _round(rows: torch.Tensor, dtype: torch.dtype, normalise: bool) -> None:
    """Change float32 rows in place to what a head of a model of this dtype computes with."""
    if dtype in (torch.float16, torch.bfloat16):
        rows.copy_(rows.to(dtype))
    if normalise:
        F.normalize(rows, dim=-1, out=rows)
