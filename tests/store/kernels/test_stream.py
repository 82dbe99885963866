"""The kernels of `pack` give the stream of the definition and the bits of numpy, encoding and decoding."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies

from lateint_store import ArraySpec, part
from lateint_store.codecs.codec import make_codec
from lateint_store.kernels import stream
from lateint_store.kernels.stream import WIDEST, read_streams, write_stream
from tests.support.kernel_checks import COUNTS, assert_same, checked, kernels


def documents(bits, width, counts, dtype):
    rng = np.random.default_rng(bits)
    return [rng.integers(0, 1 << bits, (rows, width), np.uint64).astype(dtype) for rows in counts]


@pytest.mark.parametrize("bits", range(1, 65))
def test_equals_numpy(bits):
    codec = make_codec(part("pack", bits=bits))
    for dtype in [name for name in ("uint8", "uint16", "int32", "int64", "uint64") if np.iinfo(name).max >= (1 << bits) - 1]:
        spec = ArraySpec(dtype, 3)
        numbers = documents(bits, 3, COUNTS, dtype)
        with kernels(False):
            pieces = [codec.encode(one) for one in numbers]
            data = np.frombuffer(bytearray(b"".join(pieces)), np.uint8)
            expected = codec.decode(data, spec, COUNTS)
        with kernels(True):
            assert_same(codec.decode(data, spec, COUNTS), expected)
            assert [codec.encode(one) for one in numbers] == pieces
        with kernels(True), checked(stream):
            assert_same(codec.decode(data, spec, COUNTS), expected)
            assert [codec.encode(one) for one in numbers] == pieces


@settings(max_examples=60, deadline=None, derandomize=True)
@given(bits=strategies.integers(1, WIDEST), data=strategies.data())
def test_bytes_are_one_long_number(bits, data):
    numbers = data.draw(strategies.lists(strategies.integers(0, (1 << bits) - 1), max_size=40))
    packed = write_stream(np.array(numbers, np.uint64), bits)
    whole = sum(number << (place * bits) for place, number in enumerate(numbers))
    assert packed.tobytes() == whole.to_bytes(-(-len(numbers) * bits // 8), "little")
    assert read_streams(packed, bits, np.array([len(numbers)]), "uint64").tolist() == numbers


def test_uncompiled_a_document_that_is_longer_than_its_bytes_raises():
    with checked(stream), pytest.raises(IndexError):
        read_streams(np.zeros(2, np.uint8), 12, np.array([2]), "int64")


def test_a_stream_that_begins_elsewhere_differs():
    numbers = np.arange(20)
    packed = write_stream(numbers, 12)
    shifted = read_streams(packed[1:], 12, np.array([19]), "int64")
    assert (shifted != numbers[:19]).mean() > 0.8
