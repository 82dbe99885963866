import numpy as np
from hypothesis import given, settings, strategies

from lateint_store.ragged import filled, unfilled


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
