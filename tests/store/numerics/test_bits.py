import numpy as np
import pytest
from hypothesis import given, settings, strategies

from lateint_store.numerics.bits import pack_bits, unpack_bits


def stream(numbers, bits):
    """The definition: one long number, with the first packed number in its lowest bits."""
    whole = sum(int(number) << (place * bits) for place, number in enumerate(numbers))
    return whole.to_bytes(len(numbers) * bits // 8, "little")


@pytest.mark.parametrize("bits", range(1, 65))
@settings(max_examples=5, deadline=None, derandomize=True)
@given(data=strategies.data())
def test_every_width_is_the_stream_of_the_definition_and_comes_back(bits, data):
    drawn = strategies.lists(strategies.integers(0, (1 << bits) - 1), min_size=8, max_size=8)
    columns = data.draw(strategies.lists(drawn.flatmap(lambda half: drawn.map(lambda other: half + other)), max_size=3))
    numbers = np.array(columns, np.min_scalar_type((1 << bits) - 1)).reshape(-1, 16).T
    packed = pack_bits(numbers, bits)
    assert [bytes(column) for column in packed.T] == [stream(column, bits) for column in columns]
    found = unpack_bits(packed, bits)
    assert found.dtype == numbers.dtype and np.array_equal(found, numbers)


def test_three_bits_by_hand():
    # 1, 2, 3, ... 7, 0 with 3 bits each, first lowest: 000 111 110 101 100 011 010 001 = 0x1F58D1
    packed = pack_bits(np.array([[1, 2, 3, 4, 5, 6, 7, 0]], np.uint8).T, 3)
    assert packed[:, 0].tolist() == [0xD1, 0x58, 0x1F]


def test_a_number_that_does_not_fit_would_spoil_its_neighbour_so_codecs_check_first():
    numbers = np.array([[8, 0, 0, 0, 0, 0, 0, 0]], np.uint8).T
    assert unpack_bits(pack_bits(numbers, 3), 3)[:, 0].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
