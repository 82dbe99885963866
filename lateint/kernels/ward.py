"""Ward's hierarchical clustering of a few hundred points: a nearest-neighbour chain, then a cut of the merge tree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lateint_store.kernels.compiled import compiled, compiles


def ward_labels(distances: NDArray[np.float64], clusters: int) -> NDArray[np.int64]:
    """Assign each of m points to one of k clusters: int64 [m]. Clusters are numbered by their first point.

    Args: `distances` [m, m] squared Euclidean distances, float64; `clusters` k, 1..m.
    Cost: O(m²). Source: Ward 1963; nearest-neighbour chain, Murtagh 1983.
    """
    merge, cut = (compiled(merge_all), compiled(cut_tree)) if compiles() else (merge_all_in_numpy, cut_tree)
    merges, heights = merge(distances.copy())
    # Sort outside the kernels: numba's sorts are not stable and slow to compile.
    labels: NDArray[np.int64] = cut(merges, np.argsort(heights, kind="stable"), clusters)
    return labels


def merge_all(distances: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Compute all m - 1 merges and their heights. `distances` [m, m] is overwritten.

    Returns: merges [m - 1, 2], each a pair (kept, absorbed) of the clusters' first points; heights [m - 1].
    """
    m = len(distances)
    sizes, alive = np.ones(m), np.ones(m, np.bool_)
    merges, heights = np.empty((m - 1, 2), np.int64), np.empty(m - 1)
    chain, length = np.empty(m, np.int64), 0
    for step in range(m - 1):
        if length == 0:
            chain[0], length = np.argmax(alive), 1
        while True:  # follow nearest neighbours until two clusters are each other's nearest
            x = chain[length - 1]
            before = chain[length - 2] if length > 1 else -1
            nearest, best = before, distances[x, before] if length > 1 else np.inf
            for other in range(m):
                if alive[other] and other != x and distances[x, other] < best:
                    nearest, best = other, distances[x, other]
            if nearest == before:
                break
            chain[length] = nearest
            length += 1
        length -= 2
        kept, absorbed = min(x, nearest), max(x, nearest)
        merges[step, 0], merges[step, 1], heights[step] = kept, absorbed, best
        alive[absorbed] = False
        for other in range(m):  # Lance-Williams update of the distances to the merged cluster
            if alive[other] and other != kept:
                a, b, c = sizes[kept], sizes[absorbed], sizes[other]
                new = ((a + c) * distances[kept, other] + (b + c) * distances[absorbed, other] - c * best) / (a + b + c)
                distances[kept, other] = distances[other, kept] = new
        sizes[kept] += sizes[absorbed]
    return merges, heights


def merge_all_in_numpy(distances: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Do what `merge_all` does, with the same bits, where kernels are not compiled."""
    m = len(distances)
    sizes, alive = np.ones(m), np.ones(m, np.bool_)
    merges, heights = np.empty((m - 1, 2), np.int64), np.empty(m - 1)
    chain: list[int] = []
    for step in range(m - 1):
        chain = chain or [int(np.argmax(alive))]
        x, nearest, best = _nearest_pair(distances, alive, chain)
        kept, absorbed = min(x, nearest), max(x, nearest)
        merges[step], heights[step] = (kept, absorbed), best
        alive[absorbed] = False
        others = np.flatnonzero(alive)
        others = others[others != kept]
        a, b, c = sizes[kept], sizes[absorbed], sizes[others]
        new = ((a + c) * distances[kept, others] + (b + c) * distances[absorbed, others] - c * best) / (a + b + c)
        distances[kept, others] = distances[others, kept] = new
        sizes[kept] += sizes[absorbed]
    return merges, heights


def _nearest_pair(distances: NDArray[np.float64], alive: NDArray[np.bool_], chain: list[int]) -> tuple[int, int, float]:
    """Follow nearest neighbours from the end of `chain`; return two clusters that are each other's, removed from it."""
    while True:
        x, before = chain[-1], chain[-2] if len(chain) > 1 else -1
        best = float(distances[x, before]) if len(chain) > 1 else np.inf
        row = np.where(alive, distances[x], np.inf)
        row[x] = np.inf
        other = int(np.argmin(row))
        if not row[other] < best:
            del chain[-2:]
            return x, before, best
        chain.append(other)


def cut_tree(merges: NDArray[np.int64], order: NDArray[np.int64], clusters: int) -> NDArray[np.int64]:
    """Return the labels [m] after the m - k lowest merges. `order` [m - 1] lists the merges by height, lowest first."""
    m = len(merges) + 1
    parent = np.arange(m)  # the point that absorbed each point; a merge always keeps the earlier point
    for merge in order[: m - clusters]:
        kept, absorbed = merges[merge, 0], merges[merge, 1]
        while parent[kept] != kept:
            kept = parent[kept]
        while parent[absorbed] != absorbed:
            absorbed = parent[absorbed]
        parent[max(kept, absorbed)] = min(kept, absorbed)
    labels, count = np.empty(m, np.int64), 0
    for point in range(m):
        if parent[point] == point:
            labels[point] = count
            count += 1
        else:
            labels[point] = labels[parent[point]]
    return labels
