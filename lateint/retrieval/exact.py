"""Exact search: every stored vector against every query, in numpy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lateint.retrieval.vectors import Floats, Places, Vectors

SCORES_AT_ONCE = 1 << 24  # 64 MiB of float32: how many queries share a product depends on n


class Exact:
    """Proposes candidates by full matrix products.

    Memory beside the vectors: 64 MiB, or 4·n bytes where that is more. Cost a query: n·h multiply-adds; up to about a
    million vectors that is a fraction of a second.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self._longest = float(np.sqrt(np.vecdot(vectors.matrix, vectors.matrix).max()))

    def candidates(self, queries: Floats, k: int) -> Iterator[Places]:
        """For each row of queries [q, h] the places of a few more than k documents, all the best k <= n among them.

        A product may round otherwise than a dot product of two vectors alone, by h·2⁻²⁴·|x|·|y| at most, each of them.
        So all are proposed that rounding could lift to the k-th place, and equal scores stay equal whatever the blocks.
        """
        matrix, n = self._vectors.matrix, len(self._vectors)
        eps = float(np.finfo(np.float32).eps)  # 2⁻²³
        slack = 3 * matrix.shape[1] * eps * self._longest  # four such errors, and some to spare
        at_once = max(1, SCORES_AT_ONCE // len(matrix))
        for start in range(0, len(queries), at_once):
            some = queries[start : start + at_once]
            for query, scores in zip(some, some @ matrix.T, strict=True):
                best = scores if self._vectors.whole else np.maximum.reduceat(scores, self._vectors.starts[:-1])
                kth = np.partition(best, n - k)[n - k]
                yield np.flatnonzero(best >= kth - slack * float(np.linalg.norm(query)))
