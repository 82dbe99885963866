"""Exact search: the dot product of every query with every stored vector, in numpy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lateint.errors import ModelError
from lateint.retrieval.vectors import Floats, Indices, Vectors

_SCORES_AT_ONCE = 1 << 24  # 64 MiB of float32; bounds how many queries share a matrix product


class Exact:
    """Find candidates by full matrix products.

    Memory beside the vectors: the larger of 64 MiB and 4·n bytes. Cost per query: n·h multiply-adds, a fraction of a second
    for up to about a million vectors.
    Raises: ModelError for vectors whose dot products overflow.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        with np.errstate(over="ignore"):
            self._longest = float(np.sqrt(np.vecdot(vectors.matrix, vectors.matrix).max()))
        if not np.isfinite(self._longest):
            raise ModelError(
                "the square of a stored vector's length overflows float32; no model makes such vectors: index again"
            )

    def candidates(self, queries: Floats, k: int) -> Iterator[Indices]:
        """For each row of queries [q, h], yield the indices of all documents that may be among the best k <= n.

        A matrix product and a dot product of two vectors can each differ from the exact value by h·2⁻²⁴·|x|·|y|. Every
        document that rounding could move into the top k is included, so the result does not depend on the block size.
        """
        matrix, n = self._vectors.matrix, len(self._vectors)
        eps = float(np.finfo(np.float32).eps)  # 2⁻²³
        slack = 3 * matrix.shape[1] * eps * self._longest  # four such errors (2 eps), with a margin
        at_once = max(1, _SCORES_AT_ONCE // len(matrix))
        for start in range(0, len(queries), at_once):
            batch = queries[start : start + at_once]
            for query, scores in zip(batch, batch @ matrix.T, strict=True):
                best = scores if self._vectors.whole else np.maximum.reduceat(scores, self._vectors.starts[:-1])
                kth = np.partition(best, n - k)[n - k]
                yield np.flatnonzero(best >= kth - slack * float(np.linalg.norm(query)))
