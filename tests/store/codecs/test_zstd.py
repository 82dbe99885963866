import threading

import numpy as np
import pytest
import zstandard

from lateint_store import ArraySpec, Pipeline, part
from lateint_store.errors import CodecError

SPEC = ArraySpec("uint8", 10)


def pipeline(**settings):
    return Pipeline(SPEC, (part("zstd", **settings),))


def test_no_flipped_bit_changes_a_value_when_there_is_a_checksum():
    array = np.random.default_rng(0).integers(0, 20, (30, 10)).astype(np.uint8)
    encoded, noticed = pipeline().encode(array), 0
    for place in range(len(encoded)):
        for bit in range(8):
            altered = bytearray(encoded)
            altered[place] ^= 1 << bit
            try:
                np.testing.assert_array_equal(pipeline().decode(bytes(altered), 30), array)
            except CodecError:
                noticed += 1
    assert noticed > 0.99 * 8 * len(encoded), "a few bits have no meaning"


def test_a_frame_that_would_grow_beyond_the_rows_is_refused_before_it_grows():
    bomb = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(1 << 24))
    with pytest.raises(CodecError, match=r"16777216 bytes, at most 30 expected|encoded bytes, at most"):
        pipeline().decode(bomb, 3)


def test_a_frame_header_that_claims_a_terabyte_is_refused():
    claim = b"\x28\xb5\x2f\xfd\xe4" + (1 << 40).to_bytes(8, "little") + b"\x01\x00\x00" + bytes(4)
    with pytest.raises(CodecError):
        pipeline().decode(claim, 3)


def test_frames_without_a_size_or_with_a_dictionary_or_a_tail_are_refused():
    data = bytes(30)
    sizeless = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compress(data)
    for frame in (sizeless, pipeline().encode(np.zeros((3, 10), np.uint8)) + b"x"):
        with pytest.raises(CodecError):
            pipeline().decode(frame, 3)


def test_checksum_costs_four_bytes_and_the_two_kinds_do_not_mix():
    array = np.zeros((3, 10), np.uint8)
    checked, plain = pipeline().encode(array), pipeline(checksum=False).encode(array)
    assert len(checked) == len(plain) + 4
    with pytest.raises(CodecError, match="other settings"):
        pipeline().decode(plain, 3)


def test_threads_do_not_share_objects():
    arrays = [np.full((200, 10), value, np.uint8) for value in range(8)]
    encoded = [pipeline().encode(array) for array in arrays]
    wrong = []

    def work(value):
        for _ in range(300):
            if pipeline().decode(encoded[value], 200)[0, 0] != value or pipeline().encode(arrays[value]) != encoded[value]:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
