import numpy as np

from lateint_store import ArraySpec, Pipeline, part


def test_nibbles_by_hand():
    # max 7 -> scale 1; codes -7, 3, 0 are stored as 1, 11, 8 and a padding 8: bytes 0xB1, 0x88
    encoded = Pipeline(ArraySpec("float32", 3), (part("int4"),)).encode(np.array([[-7, 3.2, 0.4]], np.float32))
    assert encoded[:2] == bytes([0xB1, 0x88]) and np.frombuffer(encoded[2:], "<f4").tolist() == [1.0]


def test_four_bits_a_number():
    pipeline = Pipeline(ArraySpec("float16", 128), (part("int4", scale="float16"),))
    assert len(pipeline.encode(np.ones((10, 128), np.float16))) == 10 * (64 + 2)
    assert not pipeline.lossless and pipeline.dtype_out == "float16"
