"""Ward's hierarchical clustering of a few hundred points: a chain of nearest neighbours, then a cut."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lateint_store.kernels.compiled import compiled


def ward_labels(apart: NDArray[np.float64], clusters: int) -> NDArray[np.int64]:
    """Which of k clusters each of m points belongs to, int64 [m]; clusters are numbered by their first point.

    Args: `apart` [m, m] squared Euclidean distances, float64; `clusters` k, 1..m.
    Cost: O(m²). Source: Ward 1963; the chain of nearest neighbours, Murtagh 1983.
    """
    merges, heights = compiled(merge_all)(apart.copy())
    # Sorted out here: the kernels' own sorts are not stable, and take long to compile.
    labels: NDArray[np.int64] = compiled(cut)(merges, np.argsort(heights, kind="stable"), clusters)
    return labels


def merge_all(apart: Any) -> Any:
    """All m - 1 merges, as (kept, gone) pairs of first points, and their heights; `apart` is written over."""
    m = len(apart)
    sizes, alive = np.ones(m), np.ones(m, np.bool_)
    merges, heights = np.empty((m - 1, 2), np.int64), np.empty(m - 1)
    chain, length = np.empty(m, np.int64), 0
    for step in range(m - 1):
        if length == 0:
            chain[0], length = np.argmax(alive), 1
        while True:  # walk to nearest neighbours until two are each other's
            x = chain[length - 1]
            before = chain[length - 2] if length > 1 else -1
            nearest, best = before, apart[x, before] if length > 1 else np.inf
            for other in range(m):
                if alive[other] and other != x and apart[x, other] < best:
                    nearest, best = other, apart[x, other]
            if nearest == before:
                break
            chain[length] = nearest
            length += 1
        length -= 2
        kept, gone = min(x, nearest), max(x, nearest)
        merges[step, 0], merges[step, 1], heights[step] = kept, gone, best
        alive[gone] = False
        for other in range(m):  # Lance and Williams
            if alive[other] and other != kept:
                a, b, c = sizes[kept], sizes[gone], sizes[other]
                new = ((a + c) * apart[kept, other] + (b + c) * apart[gone, other] - c * best) / (a + b + c)
                apart[kept, other] = apart[other, kept] = new
        sizes[kept] += sizes[gone]
    return merges, heights


def cut(merges: Any, order: Any, clusters: int) -> Any:
    """Labels after the lowest m - k merges; `order` [m - 1] names the merges, lowest first."""
    m = len(merges) + 1
    into = np.arange(m)  # the point that took a point in; every merge is into an earlier point
    for place in order[: m - clusters]:
        kept, gone = merges[place, 0], merges[place, 1]
        while into[kept] != kept:
            kept = into[kept]
        while into[gone] != gone:
            gone = into[gone]
        into[max(kept, gone)] = min(kept, gone)
    labels, found = np.empty(m, np.int64), 0
    for point in range(m):
        if into[point] == point:
            labels[point] = found
            found += 1
        else:
            labels[point] = labels[into[point]]
    return labels
