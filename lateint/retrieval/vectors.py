"""All vectors of a store in one matrix, and the rows of each document."""

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
Indices = NDArray[np.int64]
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Vectors of n documents. Document i has the rows starts[i]:starts[i + 1]: one row, or one per chunk.

    `ids` [n]; `matrix` [rows, h] float32; `starts` int64 [n + 1]. Memory: 4·rows·h bytes and the ids.
    """

    ids: Sequence[str]
    matrix: Floats
    starts: Indices

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def whole(self) -> bool:
        """True if every document has one row."""
        return len(self.ids) == len(self.matrix)

    def scores(self, indices: Indices, query: Floats) -> Floats:
        """Return the dot products [k] of the documents at `indices` with a query [h]; the maximum over chunks (MaxP).

        Each dot product is computed separately, so equal vectors have equal scores, whatever other documents are scored.
        """
        sizes = self.starts[indices + 1] - self.starts[indices]
        first = np.cumsum(sizes) - sizes
        rows = np.arange(sizes.sum()) + np.repeat(self.starts[indices] - first, sizes)
        parts = (rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE))
        products: Floats = np.concatenate([np.vecdot(self.matrix[part], query) for part in parts])
        return np.maximum.reduceat(products, first)


def load_vectors(store: Store, dtype: torch.dtype = torch.float32, normalise: bool = False) -> Vectors:
    """Decode all vectors of a store in order, rounded to `dtype` and normalised to length 1 as a cosine head does.

    Reads the documents that the store has when reading starts; decodes one page of the store at a time.
    Raises: InputError for an empty store; DamagedStore; StoreError if the store is compacted meanwhile, or loses chunks.
    """
    matrix = np.empty((len(store), store.manifest.specs["vector"].spec.columns), np.float32)
    ids: list[str] = []
    for page in store.scan(["vector"], stable=store.chunks is not None):  # never some chunks of a document
        start, end = len(ids), len(ids) + len(page)
        if end > len(matrix):  # documents were added after the count, or deleted before it but after the scan read them
            matrix.resize((end, matrix.shape[1]), refcheck=False)
        matrix[start:end] = store.decode(page)["vector"].values
        _round(torch.from_numpy(matrix[start:end]), dtype, normalise)
        ids.extend(page.ids)
    if not ids:
        raise InputError(f"store {store.path} holds no documents to retrieve")
    matrix = matrix[: len(ids)]
    if store.chunks is None:
        return Vectors(ids, matrix, np.arange(len(ids) + 1))
    owners = [entry_id.rpartition("#")[0] for entry_id in ids]  # chunks of a document are adjacent
    starts = [row for row, owner in enumerate(owners) if row == 0 or owner != owners[row - 1]]
    return Vectors([owners[row] for row in starts], matrix, np.array([*starts, len(ids)], np.int64))


def _round(rows: torch.Tensor, dtype: torch.dtype, normalise: bool) -> None:
    """Round float32 rows in place to `dtype`, and normalise them, to equal what a head of a model of this dtype reads."""
    if dtype in (torch.float16, torch.bfloat16):
        rows.copy_(rows.to(dtype))
    if normalise:
        F.normalize(rows, dim=-1, out=rows)
