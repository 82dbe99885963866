"""Kernels that check and copy record headers and payloads in place, in LMDB's memory map.

They do what the numpy implementations in `record_batch.py` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lateint_store.codecs.codec import Buffer
from lateint_store.format.block import BLOCK_HEADER, BLOCK_MAGIC, DIGEST_SIZE, MAX_DOCUMENTS, TABLE_START, BlockFormat
from lateint_store.kernels.compiled import compiled

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_CODE = int.from_bytes(BLOCK_MAGIC, "little")
_CRC_AT, _TABLE, _BEHIND, _MOST = BLOCK_HEADER.size, TABLE_START, DIGEST_SIZE, MAX_DOCUMENTS
_ONES = np.uint32(0xFFFFFFFF)


class _Interface:
    """Memory as numpy takes it over. It must not hold the array made of it: no collector frees a cycle with an array in it."""

    def __init__(self, first: int, size: int) -> None:
        self.__array_interface__ = {"shape": (size,), "typestr": "|u1", "data": (first, True), "version": 3}


def spanned(starts: Numbers, sizes: Numbers) -> tuple[npt.NDArray[np.uint8], int]:
    """One read-only array that spans several pieces of memory, from the first byte to the last, and its address.

    The memory between the pieces may be unmapped: read the pieces only, and only as long as they are valid.
    """
    starts, ends = starts[sizes > 0], (starts + sizes)[sizes > 0]
    if not len(starts):
        return np.frombuffer(b"", np.uint8), 0
    first = int(starts.min())
    return np.asarray(_Interface(first, int(ends.max()) - first)), first


def starts_of(views: Sequence[Buffer]) -> Numbers:
    """The address of each piece of memory, int64; 0 for an empty one."""
    begin = compiled(address)  # numpy's own way takes three times as long
    found = (begin(np.frombuffer(view, np.uint8)) if len(view) else 0 for view in views)
    return np.fromiter(found, np.int64, len(views))


def check_headers(
    format: BlockFormat,
    blocks: tuple[Numbers, Numbers, Numbers],
    owners: Numbers,
    ordinals: Numbers,
    ids: tuple[bytes, Numbers],
) -> tuple[Numbers, Numbers, npt.NDArray[np.uint32], Flags]:
    """Read and check the headers of k records: rows, edges, checksums (as in `RecordHeaders`), and which are sound.

    Args: `blocks`: address, size and key of each block, int64 each; `owners`, `ordinals`: block and ordinal of each record;
    `ids`: all ids joined, and the end of each.
    """
    (addresses, sizes, keys), k, arrays = blocks, len(ordinals), format.arrays
    memory, first = spanned(addresses, sizes)
    rows, edges = np.zeros(k, np.int64), np.zeros((k, arrays + 1), np.int64)
    checksums, sound = np.zeros((k, arrays), np.uint32), np.zeros(k, np.bool_)
    bound = (int.from_bytes(format.uuid, "little", signed=True), format.seed, format.record_header.size)
    placed = (addresses - first, sizes, keys)
    wanted = (owners, ordinals, np.frombuffer(ids[0], np.uint8), ids[1])
    found = (rows, edges, checksums, sound)
    compiled(read_headers)(memory, crc_tables(), np.array(bound, np.int64), placed, wanted, found)
    return rows, edges, checksums, sound


def copy_checked(
    addresses: Numbers, sizes: Numbers, checksums: npt.NDArray[np.uint32]
) -> tuple[npt.NDArray[np.uint8], Numbers, Flags]:
    """Copy k pieces of memory into one array: the array, offsets int64 [k + 1], and whether each checksum matches."""
    (memory, first), offsets = spanned(addresses, sizes), np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    out, same = np.empty(int(offsets[-1]), np.uint8), np.zeros(len(sizes), np.bool_)
    compiled(copy_all)(memory, crc_tables(), addresses - first, offsets, checksums, (out, same))
    return out, offsets, same


def load_record_kernels() -> None:
    """Compile or load the three kernels of this module, on empty input."""
    none = np.zeros(0, np.int64)
    compiled(address)(np.frombuffer(bytes(1), np.uint8))
    check_headers(BlockFormat(bytes(8), 1), (none, none, none), none, none, (b"", none))
    copy_checked(none, none, none.astype(np.uint32))


@cache
def crc_tables() -> npt.NDArray[np.uint32]:
    """Tables for zlib's CRC-32: `[n, b]` is the contribution of byte b followed by n more bytes, uint32 [16, 256]."""
    tables = np.zeros((16, 256), np.uint32)
    tables[0] = np.arange(256)
    for _ in range(8):
        tables[0] = (tables[0] >> 1) ^ np.where(tables[0] & 1, 0xEDB88320, 0).astype(np.uint32)
    for following in range(1, 16):
        before = tables[following - 1]
        tables[following] = (before >> 8) ^ tables[0, before & 255]
    return tables


def address(piece: Any) -> Any:
    """The memory address of an array."""
    return piece.ctypes.data


def read_headers(memory: Any, tables: Any, bound: Any, blocks: Any, wanted: Any, found: Any) -> None:
    """Fill `found`. Every offset is compared with the size of its block before it is followed.

    store/README.md specifies where numbers are in a block and in a record.
    """
    starts, sizes, keys = blocks
    owners, ordinals, ids, id_ends = wanted
    rows, edges, checksums, sound = found
    arrays = checksums.shape[1]
    seed, fixed = bound[1], bound[2]
    before, good, id_start = -1, False, 0
    for k in range(len(ordinals)):
        owner, ordinal, id_end = owners[k], ordinals[k], id_ends[k]
        length, id_from, id_start = id_end - id_start, id_start, id_end
        start, size = starts[owner], sizes[owner]
        if owner != before:
            before, good = owner, block_is_sound(memory, tables, start, size, keys[owner], bound[0])
        inside = ordinal - keys[owner]
        if not good or inside < 0 or inside >= half(memory, start + 4):
            continue
        at = start + word(memory, start + _TABLE + 4 * inside)
        end = start + word(memory, start + _TABLE + 4 * inside + 4)
        payloads = at + fixed + length
        if end > start + size - _BEHIND or payloads > end or half(memory, at + 4) != length:
            continue
        rows[k], edges[k, 0] = word(memory, at + 6), payloads - start
        for array in range(arrays):
            edges[k, array + 1] = edges[k, array] + word(memory, at + 10 + 4 * array)
            checksums[k, array] = word(memory, at + 10 + 4 * (arrays + array))
        same = edges[k, arrays] == end - start
        same &= crc32(memory, tables, at + 4, payloads, (ordinal ^ seed) & 0xFFFFFFFF) == word(memory, at)
        for place in range(length):
            same &= memory[at + fixed + place] == ids[id_from + place]
        sound[k] = same


def block_is_sound(memory: Any, tables: Any, start: Any, size: Any, key: Any, uuid: Any) -> Any:
    """True if a block has a sound header and table, the store's uuid and the ordinal of its key."""
    if size < _TABLE + _BEHIND or word(memory, start) != _CODE or half(memory, start + 6) != 0:
        return False
    first = word(memory, start + 8) | word(memory, start + 12) << 32
    own = word(memory, start + 16) | word(memory, start + 20) << 32
    count = half(memory, start + 4)
    table_end = _TABLE + 4 * (count + 1)
    if own != uuid or first != key or count > _MOST or table_end + _BEHIND > size:
        return False
    crc = crc32(memory, tables, start, start + _CRC_AT, 0)
    return crc32(memory, tables, start + _TABLE, start + table_end, crc) == word(memory, start + _CRC_AT)


def copy_all(memory: Any, tables: Any, starts: Any, offsets: Any, checksums: Any, made: Any) -> None:
    """Fill `made`: the copies, and whether the checksum of each matches."""
    out, same = made
    for k in range(len(starts)):
        target = out[offsets[k] : offsets[k + 1]]
        piece = memory[starts[k] : starts[k] + len(target)]
        for i in range(len(target)):  # numba takes seconds to compile a slice assignment
            target[i] = piece[i]
        same[k] = crc32(target, tables, 0, len(target), 0) == checksums[k]


def half(memory: Any, at: Any) -> Any:
    """An unsigned 16-bit number, little-endian."""
    return np.int64(memory[at]) | np.int64(memory[at + 1]) << 8


def word(memory: Any, at: Any) -> Any:
    """An unsigned 32-bit number, little-endian."""
    return half(memory, at) | half(memory, at + 2) << 16


def crc32(data: Any, tables: Any, start: Any, end: Any, value: Any) -> Any:
    """The CRC-32 of zlib over `data[start:end]`, continued from `value`; sixteen bytes at a time."""
    byte, eight, crc, at = np.uint32(255), np.uint32(8), np.uint32(value) ^ _ONES, start
    while at + 16 <= end:
        crc ^= np.uint32(data[at]) | np.uint32(data[at + 1]) << eight
        crc ^= np.uint32(data[at + 2]) << np.uint32(16) | np.uint32(data[at + 3]) << np.uint32(24)
        one = tables[15, crc & byte] ^ tables[14, (crc >> eight) & byte]
        one ^= tables[13, (crc >> np.uint32(16)) & byte] ^ tables[12, crc >> np.uint32(24)]
        two = tables[11, data[at + 4]] ^ tables[10, data[at + 5]] ^ tables[9, data[at + 6]] ^ tables[8, data[at + 7]]
        three = tables[7, data[at + 8]] ^ tables[6, data[at + 9]] ^ tables[5, data[at + 10]] ^ tables[4, data[at + 11]]
        four = tables[3, data[at + 12]] ^ tables[2, data[at + 13]] ^ tables[1, data[at + 14]] ^ tables[0, data[at + 15]]
        crc = (one ^ two) ^ (three ^ four)  # a tree of XORs, so that no look-up waits for another
        at += 16
    while at < end:
        crc = (crc >> eight) ^ tables[0, (crc ^ np.uint32(data[at])) & byte]
        at += 1
    return crc ^ _ONES
