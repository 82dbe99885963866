"""An independent reader that tells which bytes of an LMDB file are structure, and which belong to which document.

Sources: store/README.md; the page layout of LMDB 0.9. In these stores, all blocks are in overflow pages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

PAGE, PAGE_HEADER, META = 4096, 16, 152
FREE_TREE, MAIN_TREE = 40, 88  # in a meta page
BRANCH, OVERFLOW, LEAF2 = 0x01, 0x04, 0x20  # of pages
BIG_DATA, SUB_TREE = 0x01, 0x02  # of nodes
NO_PAGE = (1 << 64) - 1
BLOCK_HEADER, DIGEST = 36, 16


@dataclass(frozen=True, slots=True)
class Record:
    """Offsets of one document in the file: its header and id, then its payloads up to `end`."""

    doc_id: str
    start: int
    payloads: int
    end: int


def records(data: bytes, arrays: int) -> Iterator[Record]:
    """Yield all documents in all blocks."""
    header = 10 + 8 * arrays
    for start, table in _blocks(data):
        for begin, end in pairwise(table):
            id_bytes = struct.unpack_from("<H", data, start + begin + 4)[0]
            payloads = start + begin + header + id_bytes
            yield Record(data[payloads - id_bytes : payloads].decode(), start + begin, payloads, start + end)


def page_structure(data: bytes) -> Iterator[range]:
    """Yield the spans of meta pages, page headers, node pointers and nodes (databases, state, small duplicate sets)."""
    for meta in (0, PAGE):
        yield range(meta, meta + META)
    for page in live_pages(data):
        flags, lower, upper = _header(data, page)
        if flags & (OVERFLOW | LEAF2):
            yield range(page, page + PAGE_HEADER)
        else:
            yield range(page, page + lower)
            yield range(page + upper, page + PAGE)


def block_structure(data: bytes, arrays: int) -> Iterator[range]:
    """Yield the spans of block headers, offset tables and digests, and of record headers with ids."""
    for start, table in _blocks(data):
        yield range(start, start + table[0])
        yield range(start + table[-1], start + table[-1] + DIGEST)
    for record in records(data, arrays):
        yield range(record.start, record.payloads)


def live_pages(data: bytes) -> Iterator[int]:
    """Yield the offsets of all pages reachable from the newer meta page; an overflow extent counts as one page."""
    newer = max((0, PAGE), key=lambda meta: struct.unpack_from("=Q", data, meta + META - 8)[0])
    waiting = [_root(data, newer + FREE_TREE), _root(data, newer + MAIN_TREE)]
    while waiting:
        number = waiting.pop()
        if number != NO_PAGE:
            page = number * PAGE
            yield page
            flags, lower, _ = _header(data, page)
            if not flags & (OVERFLOW | LEAF2):
                pointers = struct.unpack_from(f"={(lower - PAGE_HEADER) // 2}H", data, page + PAGE_HEADER)
                waiting.extend(_leads_to(data, page + pointer, flags) for pointer in pointers)


def _leads_to(data: bytes, node: int, page_flags: int) -> int:
    """The page that a node of a branch or a leaf refers to."""
    low, high, flags, key = struct.unpack_from("=4H", data, node)
    if page_flags & BRANCH:
        return int(low | high << 16 | flags << 32)
    value = node + 8 + key
    if flags & BIG_DATA:
        return int(struct.unpack_from("=Q", data, value)[0])
    return _root(data, value) if flags & SUB_TREE else NO_PAGE


def _root(data: bytes, tree: int) -> int:
    return int(struct.unpack_from("=Q", data, tree + 40)[0])


def _header(data: bytes, page: int) -> tuple[int, int, int]:
    """Flags of a page, and start and end of its free space."""
    flags, lower, upper = struct.unpack_from("=HHH", data, page + 10)
    return flags, lower, upper


def _blocks(data: bytes) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield start and offset table of every block."""
    for page in live_pages(data):
        start = page + PAGE_HEADER
        if _header(data, page)[0] & OVERFLOW and data[start : start + 4] == b"LTB1":
            count = struct.unpack_from("<H", data, start + 4)[0]
            yield start, struct.unpack_from(f"<{count + 1}I", data, start + BLOCK_HEADER)
