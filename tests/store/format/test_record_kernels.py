"""The record kernels: the numbers and verdicts of numpy for all kinds of damage, and zlib's checksums."""

import zlib
from itertools import pairwise

import numpy as np
import pytest

from lateint_store.format import record_kernels as records
from lateint_store.format.block import BlockFormat, EncodedDocument
from lateint_store.format.record_batch import Blocks, PayloadSource, copy_payloads, read_records
from lateint_store.kernels.compiled import compiled
from tests.support.kernel_checks import assert_same, checked

IDS = [b"a", b"", b"longer than sixteen bytes", bytes(range(256)), b"b", b"\xff" * 33, b"last"]


def written(arrays=2, first=5):
    """Two blocks of a store, and the block, ordinal and payloads of each record in them."""
    rng, format = np.random.default_rng(arrays), BlockFormat(b"uuid of a store", arrays)
    sizes = rng.integers(0, 70, (len(IDS), arrays))
    payloads = [tuple(rng.bytes(int(size)) for size in row) for row in sizes]
    documents = [EncodedDocument(doc_id, 3 * len(doc_id), found, b"") for doc_id, found in zip(IDS, payloads, strict=True)]
    blocks = [format.write(documents[:4], first, 0), format.write(documents[4:], first + 4, 1)]
    keys = [(first + place).to_bytes(8, "big") for place in (0, 4)]
    return format, keys, blocks, np.array([0, 0, 0, 0, 1, 1, 1]), first + np.arange(len(IDS)), payloads


def both(format, keys, blocks, owners, ordinals, ids=IDS):
    """Read with numpy and with the kernel, compare, and return which records are sound."""
    found = [
        read(format, Blocks(keys, blocks), owners, ordinals, ids) for read in (read_records.reference, read_records.kernel)
    ]
    (headers, sound), (quick, same) = found
    np.testing.assert_array_equal(sound, same)
    for name in ("rows", "edges", "checksums"):
        assert_same(getattr(quick, name)[sound], getattr(headers, name)[sound])
    return sound


@pytest.mark.parametrize("arrays", [1, 2, 5])
def test_sound_records_are_read_alike(arrays):
    format, keys, blocks, owners, ordinals, _ = written(arrays)
    assert both(format, keys, blocks, owners, ordinals).all()
    assert not both(format, keys, blocks, owners, ordinals, IDS[::-1])[[0, 1, 2, 4, 5, 6]].any(), "the ids of others"
    assert not both(format, keys, blocks, 1 - owners, ordinals).any(), "the wrong block"
    assert not both(format, keys, blocks, owners, ordinals + 90).any()
    assert not both(format, keys, blocks, owners, -ordinals).any()
    assert not both(BlockFormat(b"another", arrays), keys, blocks, owners, ordinals).any()
    assert not both(format, keys[::-1], blocks, owners, ordinals).any()


def test_every_damaged_byte_is_judged_alike():
    format, keys, (one, two), owners, ordinals, _ = written()
    rng, broken = np.random.default_rng(1), 0
    for place in range(len(one)):
        damaged = bytearray(one)
        damaged[place] ^= 1 << int(rng.integers(8))
        broken += not both(format, keys, [bytes(damaged), two], owners, ordinals).all()
    assert broken >= 0.5 * len(one), "all but payloads and the digest of the block"


def test_blocks_that_are_cut_short_are_refused_and_nothing_behind_them_is_read():
    format, keys, (one, two), owners, ordinals, _ = written()
    for size in (0, 1, 35, 36, 51, 52, 100, len(one) - 60, len(one) - 1):
        blocks = Blocks(keys, [one[:size], two])
        with checked(records):
            _, sound = read_records.kernel(format, blocks, owners, ordinals, IDS)
        assert not sound[3] and sound[4:].all()
        _, quiet = read_records.reference(format, blocks, owners, ordinals, IDS)
        assert not (quiet & ~sound).any(), "numpy passes no judgement on any where one block is hardly there"


def test_as_python_that_checks_every_index():
    format, keys, blocks, owners, ordinals, _ = written()
    with checked(records):
        assert both(format, keys, blocks, owners, ordinals).all()
        assert not both(format, [], [], owners[:0], ordinals[:0], []).any()


@pytest.mark.parametrize("copy", [copy_payloads.reference, copy_payloads.kernel], ids=["numpy", "kernel"])
def test_payloads_are_copied_in_order_and_their_damage_is_seen(copy):
    format, keys, blocks, owners, ordinals, payloads = written()
    headers, _ = read_records.reference(format, Blocks(keys, blocks), owners, ordinals, IDS)
    order = np.random.default_rng(2).permutation(len(IDS))
    for column in range(2):
        starts, ends = headers.edges[:, column], headers.edges[:, column + 1]
        halves = [
            PayloadSource(Blocks(keys, blocks), owners[some], starts[some], ends[some], headers.checksums[some, column])
            for some in (slice(0, 3), slice(3, None))
        ]
        copied, same = copy(halves, order)
        assert list(copied) == [payloads[place][column] for place in order] and same.all() and copied.data.flags.writeable
        halves[1].checksums[0] ^= 1
        _, same = copy(halves, order)
        assert order[~same].tolist() == [3]


def test_checksums_are_those_of_zlib():
    rng, tables = np.random.default_rng(3), records.crc_tables()
    data = np.frombuffer(rng.bytes(200), np.uint8)
    cuts = [(start, end) for start in range(0, 40, 3) for end in range(start, 200, 7)]
    for crc32 in (compiled(records.crc32), records.crc32):
        for start, end in cuts:
            for value in (0, 1, 0xFFFFFFFF, 0x12345678):
                assert crc32(data, tables, start, end, value) == zlib.crc32(data[start:end], value)
    assert zlib.crc32(data) != zlib.crc32(data[:-1]) and all(a != b for a, b in pairwise(tables[:, 1].tolist()))
