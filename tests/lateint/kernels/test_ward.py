"""Ward's clustering against scipy, and the compiled kernel against the uncompiled one."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from lateint.kernels.ward import cut_tree, merge_all, merge_all_in_numpy, ward_labels
from lateint_store.kernels.compiled import compiled


def points(m, seed=0):
    return np.random.default_rng(seed).standard_normal((m, 16))


def squared(x):
    return ((x[:, None] - x[None]) ** 2).sum(axis=-1)


def partition(labels):
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}


@pytest.mark.parametrize("m", [2, 3, 10, 60])
@pytest.mark.parametrize("factor", [1, 2, 3, 100])
def test_the_clusters_are_those_of_another_implementation(m, factor):
    x, clusters = points(m, seed=m), -(-m // factor)
    theirs = fcluster(linkage(x, "ward"), clusters, criterion="maxclust")
    assert partition(ward_labels(squared(x), clusters)) == partition(theirs)


def test_another_linkage_finds_other_clusters():
    x = points(60)
    theirs = fcluster(linkage(x, "single"), 20, criterion="maxclust")
    assert partition(ward_labels(squared(x), 20)) != partition(theirs)


@pytest.mark.parametrize("m", [1, 2, 7, 40])
def test_the_kernel_is_its_reference(m):
    distances = squared(points(m))
    merges, heights = merge_all(distances.copy())
    for others in (compiled(merge_all)(distances.copy()), merge_all_in_numpy(distances.copy())):
        for ours, reference in zip(others, (merges, heights), strict=True):
            np.testing.assert_array_equal(ours, reference)
    order = np.argsort(heights, kind="stable")
    for clusters in range(1, m + 1):
        np.testing.assert_array_equal(compiled(cut_tree)(merges, order, clusters), cut_tree(merges, order, clusters))


def test_equal_points_and_numbers_by_first_point():
    distances = np.zeros((5, 5))
    distances[3, :3] = distances[:3, 3] = distances[3, 4] = distances[4, 3] = 1
    assert ward_labels(distances, 2).tolist() == [0, 0, 0, 1, 0]
    assert ward_labels(np.zeros((1, 1)), 1).tolist() == [0]
    before = distances.copy()
    ward_labels(distances, 3)
    np.testing.assert_array_equal(distances, before)
