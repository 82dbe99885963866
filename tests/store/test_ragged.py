import numpy as np
import pytest
from hypothesis import given, settings, strategies

from lateint_store.ragged import Payloads, filled, unfilled


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sizes=strategies.lists(strategies.integers(0, 20), max_size=8), group=strategies.integers(1, 9))
def test_filling_is_undone_and_each_piece_begins_with_a_group(sizes, group):
    sizes = np.array(sizes, np.int64)
    data = np.arange(1, sizes.sum() + 1)
    wide = filled(data, sizes, group)
    assert len(wide) == (-(-sizes // group) * group).sum() and np.count_nonzero(wide) == len(data)
    starts = np.cumsum(-(-sizes // group) * group) - -(-sizes // group) * group
    assert [wide[start] for start, size in zip(starts, sizes, strict=True) if size] == [
        data[start] for start, size in zip(np.cumsum(sizes) - sizes, sizes, strict=True) if size
    ]
    np.testing.assert_array_equal(unfilled(wide, sizes, group), data)


def test_payloads_are_pieces_of_one_array():
    joined = Payloads.join([b"abc", b"", memoryview(b"de")])
    assert joined.data.tobytes() == b"abcde" and joined.offsets.tolist() == [0, 3, 3, 5]
    assert len(joined) == 3 and list(joined) == [b"abc", b"", b"de"] and joined[2] == b"de"
    assert list(map(bytes, joined.views())) == list(joined)
    joined.data[0] = 122
    assert joined[0] == b"zbc", "the memory is writable"
    for index in (-1, 3):
        with pytest.raises(IndexError, match="of 3"):
            joined[index]


def test_no_payloads_are_no_bytes():
    empty = Payloads.join([])
    assert len(empty) == 0 and list(empty) == [] and empty.data.shape == (0,) and empty.data.dtype == np.uint8
