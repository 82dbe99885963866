"""Max cosines from stored bytes: against decoding, against the uncompiled kernel, on ragged and empty documents."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from lateint.heads._matches import max_similarities
from lateint.kernels.lookup import look_up, lookup_tables, max_cosines
from lateint_store import ArraySpec, Ragged
from lateint_store.codecs.rotated import Rotated
from lateint_store.kernels.compiled import compiled

LENGTHS = [3, 1, 0, 40, 7]
OFFSETS = np.cumsum([0, *LENGTHS])


def documents(width, seed=0):
    return np.random.default_rng(seed).standard_normal((OFFSETS[-1], width)).astype(np.float32) * 5


def coded(codec, x):
    stored = codec.encode(x)
    return Ragged(stored, OFFSETS, ArraySpec("uint8", stored.shape[1]))


def by_decoding(codec, x, queries):
    decoded = torch.from_numpy(codec.decode(codec.encode(x), ArraySpec("float32", x.shape[1])))
    parts = [decoded[start:end] for start, end in pairwise(OFFSETS)]
    ours = torch.from_numpy(queries)
    return np.stack([max_similarities(ours, part[None], None)[0] if len(part) else np.full(len(ours), -1.0) for part in parts])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("scale", ["none", "float16"])
@pytest.mark.parametrize(("width", "q"), [(8, 1), (64, 7), (128, 20)])
def test_equals_the_best_match_of_decoded_rows(bits, scale, width, q):
    codec, x, queries = Rotated(bits, scale, seed=2), documents(width), documents(width, seed=1)[:q] / 3
    found = max_cosines(coded(codec, x), codec, queries)
    assert found.dtype == np.float32 and found.shape == (5, q)
    np.testing.assert_allclose(found, by_decoding(codec, x, queries), atol=2e-6)


def test_without_the_rotation_of_the_query_it_does_not():
    codec, x, queries = Rotated(4, "none"), documents(64), documents(64, seed=1)[:3]
    wrong = np.full((5, 3), -1, np.float32)
    table = lookup_tables(codec, queries / np.linalg.norm(queries, axis=1, keepdims=True))
    compiled(look_up)(codec.encode(x), OFFSETS, table, wrong)
    assert np.abs(wrong - by_decoding(codec, x, queries)).max() > 0.1


@pytest.mark.parametrize("bits", [1, 4])
def test_the_kernel_is_its_reference(bits):
    codec, x, queries = Rotated(bits, "none"), documents(16), documents(16, seed=1)[:5]
    table, stored = lookup_tables(codec, codec.turn(queries)), codec.encode(x)
    ours, reference = np.full((2, 5, 5), -1, np.float32)
    compiled(look_up)(stored, OFFSETS, table, ours)
    look_up(stored, OFFSETS, table, reference)
    np.testing.assert_array_equal(ours, reference)


def test_no_document_and_no_row():
    codec = Rotated(1, "none")
    nothing = Ragged(np.empty((0, 8), np.uint8), np.zeros(1, np.int64), ArraySpec("uint8", 8))
    assert max_cosines(nothing, codec, documents(64)[:4]).shape == (0, 4)
    empty = Ragged(np.empty((0, 8), np.uint8), np.zeros(3, np.int64), ArraySpec("uint8", 8))
    assert (max_cosines(empty, codec, documents(64)[:4]) == -1).all()
