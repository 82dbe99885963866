"""Max cosines from stored bytes: against decoding, against the uncompiled kernel, on ragged and empty documents."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from lateint.errors import ModelError
from lateint.heads._matches import max_similarities
from lateint.kernels import lookup
from lateint.kernels.lookup import columns, look_up, lookup_tables, max_cosines, max_sums
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


@pytest.fixture(params=[True, False])
def by_numpy(request, monkeypatch):
    monkeypatch.setattr(lookup, "compiles", lambda: request.param)


@pytest.mark.parametrize("bits", [1, 4])
def test_numpy_gives_the_bits_of_the_kernel(bits, monkeypatch):
    codec, x, queries = Rotated(bits, "float16"), documents(64), documents(64, seed=1)[:5]
    rng = np.random.default_rng(3)
    rows = Ragged(rng.integers(0, 9, (OFFSETS[-1], 6)).astype(np.uint8), OFFSETS, ArraySpec("uint8", 6))
    rows.values[:, 1] = 0
    tables = [rng.standard_normal(shape).astype(np.float32) for shape in ((4, 256, columns(5)), (9, columns(5)))]

    def results():
        with_tokens = max_sums(rows, 5, tables[0].copy(), tables[1])
        return max_cosines(coded(codec, x), codec, queries), with_tokens, max_sums(rows, 5, tables[0].copy())

    compiled_results = results()
    monkeypatch.setattr(lookup, "compiles", lambda: False)
    monkeypatch.setattr(lookup, "compiled", None)
    for ours, theirs in zip(results(), compiled_results, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    rows.values[3, 1] = 1
    with pytest.raises(ModelError, match="word piece"):
        results()


def test_rows_of_fewer_bytes_than_the_tables_have_reach_no_kernel(by_numpy):
    codec = Rotated(4, "none")
    narrow = Ragged(np.zeros((OFFSETS[-1], 3), np.uint8), OFFSETS, ArraySpec("uint8", 3))
    tables = np.zeros((2, 256, columns(4)), np.float32)
    with pytest.raises(ModelError, match=r"uint8 \[3\]; the model's codes are uint8 \[32\]"):
        max_cosines(narrow, codec, documents(64)[:4])
    with pytest.raises(ModelError, match=r"codes are uint8 \[4\]"):
        max_sums(narrow, 4, tables, np.zeros((9, columns(4)), np.float32))
    assert max_sums(narrow, 4, tables).shape == (5, 4)
