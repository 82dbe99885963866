"""The decoding kernel of `drive` gives the bits of numpy, for all bits, widths and document lengths."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies

from lateint_store import ArraySpec, part
from lateint_store.codecs.codec import make_codec
from lateint_store.kernels import blocks, halves
from lateint_store.kernels.blocks import decoded_blocks, first_turns
from lateint_store.numerics.hadamard import signs
from lateint_store.numerics.lloyd_max import levels
from tests.support.kernel_checks import COUNTS, assert_same, checked, kernels


def encoded(codec, spec, counts, seed=0):
    rng = np.random.default_rng(seed)
    documents = [rng.standard_normal((rows, spec.columns)) * 10.0 ** rng.integers(-3, 3) for rows in counts]
    if counts[0] > 1:
        documents[0][:] = 0
    return np.frombuffer(bytearray(b"".join(codec.encode(x.astype(spec.dtype)) for x in documents)), np.uint8)


def both(codec, spec, counts, seed=0):
    """Yield the result of the kernel, then that of numpy."""
    data = encoded(codec, spec, counts, seed)
    for used in (True, False):
        with kernels(used):
            yield codec.decode(data, spec, counts)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("scale", "scale_dtype"), [("norm", "float32"), ("unbiased", "float16")])
def test_equals_numpy_to_the_bit(bits, dtype, scale, scale_dtype):
    codec = make_codec(part("drive", bits=bits, scale=scale, scale_dtype=scale_dtype, seed=bits))
    for width in (1, 5, 16, 128, 200):
        assert_same(*both(codec, ArraySpec(dtype, width), COUNTS))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    counts=strategies.lists(strategies.integers(0, 30), min_size=1, max_size=12),
    width=strategies.integers(1, 140),
    bits=strategies.integers(1, 8),
    seed=strategies.integers(0, 99),
)
def test_any_lengths(counts, width, bits, seed):
    codec = make_codec(part("drive", bits=bits, seed=seed))
    assert_same(*both(codec, ArraySpec("float32", width), np.array(counts), seed))


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("scale_dtype", ["float32", "float16"])
def test_uncompiled_no_index_leaves_its_array(bits, scale_dtype):
    codec, spec = make_codec(part("drive", bits=bits, scale_dtype=scale_dtype)), ArraySpec("float16", 37)
    data = encoded(codec, spec, COUNTS)
    with kernels(False):
        expected = codec.decode(data, spec, COUNTS)
    with kernels(True), checked(blocks, halves):
        assert_same(codec.decode(data, spec, COUNTS), expected)


def test_uncompiled_documents_that_are_longer_than_the_blocks_raise():
    stored = np.zeros((2, 16 * 4 + 4), np.uint8)
    arguments = stored, np.ones(2, np.float32), first_turns(levels(4)), np.ones(128, np.float32)
    with checked(blocks):
        assert len(decoded_blocks(*arguments, np.array([130]))) == 130
        with pytest.raises(IndexError):
            decoded_blocks(*arguments, np.array([100]))


def test_no_document_and_no_row():
    codec = make_codec(part("drive", bits=6))
    for counts in ([], [0], [0, 0, 0]):
        assert_same(*both(codec, ArraySpec("float16", 16), np.array([1, *counts])))
        with kernels(True):
            assert codec.decode(np.empty(0, np.uint8), ArraySpec("float32", 16), np.array(counts, np.int64)).shape == (0, 16)


def test_other_signs_or_levels_that_stand_elsewhere_differ():
    codec, spec = make_codec(part("drive", bits=4, seed=3)), ArraySpec("float32", 128)
    data, found = encoded(codec, spec, [0, 5]), next(both(codec, spec, np.array([0, 5])))
    stored = data.reshape(-1, 68)
    factors = np.ascontiguousarray(stored[:, 64:]).view(np.float32)[:, 0] * np.float32(1 / np.sqrt(128))
    sizes = np.array([5 * 128])

    def decoded(table, diagonal):
        return decoded_blocks(stored, factors, table, diagonal.astype(np.float32), sizes).reshape(-1, 128)

    assert_same(decoded(first_turns(levels(4)), signs(3, 128)), found)
    for wrong in (
        decoded(first_turns(levels(4)), signs(4, 128)),
        decoded(first_turns(levels(4)), np.roll(signs(3, 128), 1)),
        decoded(np.roll(first_turns(levels(4)), 1, axis=0), signs(3, 128)),
    ):
        assert np.abs(wrong - found).max() > 0.1
