from contextlib import suppress

import numpy as np
import pytest

from lateint_store.format.block import MAX_BLOCK, MAX_DOCUMENTS, PAGE, BlockError, BlockFormat, EncodedDocument

FORMAT = BlockFormat(bytes(range(16)), 2)


def documents(sizes):
    return [EncodedDocument(f"d{number}".encode(), 3, (bytes(size), b"v" * 5), b"") for number, size in enumerate(sizes)]


def test_documents_come_back_from_their_block():
    value = memoryview(FORMAT.write(documents([0, 10, 300]), 1 << 33, 77))
    block = FORMAT.open(value, 1 << 33)
    assert (block.first, block.count, block.window) == (1 << 33, 3, 77)
    for place, size in enumerate([0, 10, 300]):
        header = block.record_header((1 << 33) + place)
        assert (header.doc_id, header.rows, header.lengths) == (f"d{place}".encode(), 3, (size, 5))
        assert block.payloads(header, (1, 0)) == [b"v" * 5, bytes(size)]
    block.check_digest()


def test_every_flipped_bit_is_noticed():
    original = FORMAT.write(documents([4, 9]), 5, 1)
    truth = read(original)
    for bit in range(len(original) * 8):
        altered = bytearray(original)
        altered[bit // 8] ^= 1 << bit % 8
        with suppress(BlockError):
            assert read(bytes(altered)) == truth
        with pytest.raises(BlockError):
            FORMAT.open(memoryview(altered), 5).check_digest()


def test_every_truncation_is_noticed():
    original = FORMAT.write(documents([4, 9]), 5, 1)
    for length in range(len(original)):
        with pytest.raises(BlockError):
            FORMAT.open(memoryview(original[:length]), 5).check_digest()


def read(value):
    block = FORMAT.open(memoryview(value), 5)
    headers = [block.record_header(ordinal) for ordinal in (5, 6)]
    return [(header.doc_id, header.rows, block.payloads(header, (0, 1))) for header in headers]


@pytest.mark.parametrize("size", [40, 500, 4_000, 20_000, 300_000, 3_000_000])
def test_blocks_fill_their_pages(size):
    rng = np.random.default_rng(size)
    window = documents(rng.integers(size // 2, size * 3 // 2, 512 if size < 100_000 else 20).tolist())
    blocks = FORMAT.split(window)
    assert [document for block in blocks for document in block] == window
    values = [FORMAT.write(block, 0, 0) for block in blocks]
    assert all(len(block) <= MAX_DOCUMENTS for block in blocks)
    assert all(len(value) <= MAX_BLOCK or len(block) == 1 for value, block in zip(values, blocks, strict=True))
    slack = sum(-(len(value) + 16) % PAGE for value in values[:-1])
    assert slack <= 0.03 * sum(map(len, values)), slack / len(window)
