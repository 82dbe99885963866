import numpy as np
import pytest

from lateint_store.ragged import Payloads


def test_payloads_are_pieces_of_one_array():
    joined = Payloads.join([b"abc", b"", memoryview(b"de")])
    assert joined.data.tobytes() == b"abcde" and joined.offsets.tolist() == [0, 3, 3, 5]
    assert len(joined) == 3 and list(joined) == [b"abc", b"", b"de"] and joined[2] == b"de"
    assert list(map(bytes, joined.views())) == list(joined)
    joined.data[0] = 122
    assert joined[0] == b"zbc", "the memory is its own"
    for place in (-1, 3):
        with pytest.raises(IndexError, match="of 3"):
            joined[place]


def test_no_payloads_are_no_bytes():
    empty = Payloads.join([])
    assert len(empty) == 0 and list(empty) == [] and empty.data.shape == (0,) and empty.data.dtype == np.uint8
