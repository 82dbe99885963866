"""Three checks that lmdb 3.0's verifier lacks, each for a flipped bit that would mislead LMDB or make it abort.

They read the pages of a file that passed the verifier. Source: the page layout of LMDB 0.9, 64-bit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

_HEADER = struct.Struct("=QHHHH")  # page number, size of a key without a node, flags, lower and upper end of free space
POINTER = struct.Struct("=H")  # offset of a node in its page
NODE = struct.Struct("=HHHH")  # size of the value, low and high half; flags; size of the key
NUMBER = struct.Struct("=Q")
ROOT = 40  # offset of the root page number in the record of a tree
BRANCH, LEAF, DIRTY, LEAF2 = 0x01, 0x02, 0x10, 0x20  # page flags
SUBPAGE = 0x62  # page flags of a small set of duplicates, which lies inside a node
SUB_TREE, DUPLICATES = 0x02, 0x04  # node flags

STATE, TRANSACTION = b"state", b"transaction"  # database and key of the number that every write transaction stores
STORED = struct.Struct("<Q")


class TreeError(ValueError):
    """A tree of an LMDB file is damaged."""


class Node(NamedTuple):
    """One node of a page. `child`: page number, in a branch page. `value`: the rest of the page from the value on."""

    flags: int
    child: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Trees:
    """Reads the pages of a file: pages of `size` bytes, the last one number `last`."""

    file: BinaryIO
    size: int
    last: int

    def check(self, main: int) -> None:
        """Check sub-pages and separators of all trees named in page `main`. Raises: TreeError."""
        for _, tree in self.databases(main):
            for node in self.nodes(tree):
                if node.flags & DUPLICATES:
                    self._check_duplicates(node)
            self._check_order(tree, b"", None)

    def check_transaction(self, main: int, transaction: int) -> None:
        """Compare a meta page's transaction number with the one stored by that transaction, if any. Raises: TreeError."""
        for name, tree in self.databases(main):
            stored = [node.value for node in self.nodes(tree) if node.key == TRANSACTION] if name == STATE else []
            if stored and STORED.unpack_from(stored[0])[0] != transaction:
                raise TreeError(f"a meta page has transaction {transaction}, its state names another one")

    def databases(self, main: int) -> Iterator[tuple[bytes, int]]:
        """Name and root page of each named database."""
        for node in self.nodes(main):
            if node.flags & SUB_TREE:
                yield node.key, NUMBER.unpack_from(node.value, ROOT)[0]

    def nodes(self, number: int) -> Iterator[Node]:
        """Nodes of a leaf page; none for a branch page or an empty tree."""
        page = self._read(number)
        if page and _HEADER.unpack_from(page)[2] == LEAF:
            yield from _nodes(page)

    def _check_duplicates(self, node: Node) -> None:
        """Check the duplicates of a key: a sub-tree, or a page inside the node, at whose wrong flags LMDB would abort."""
        if node.flags & SUB_TREE:
            self._check_order(NUMBER.unpack_from(node.value, ROOT)[0], b"", None)
        elif _HEADER.unpack_from(node.value)[2] & ~DIRTY != SUBPAGE:
            raise TreeError("the header of a set of duplicates is damaged")

    def _check_order(self, number: int, low: bytes, high: bytes | None) -> None:
        """Check that the keys below a page lie between the separators that lead to it; else a look-up would miss some."""
        page = self._read(number)
        if not page:
            return
        if _HEADER.unpack_from(page)[2] & BRANCH:
            nodes = list(_nodes(page))
            lows = [low, *(node.key for node in nodes[1:])]
            for node, first, behind in zip(nodes, lows, [*lows[1:], high], strict=True):
                self._check_order(node.child, first, behind)
        elif (keys := _outer_keys(page)) and (keys[0] < low or (high is not None and keys[1] >= high)):
            raise TreeError(f"a branch page does not lead to all keys of page {number}")

    def _read(self, number: int) -> bytes:
        if number > self.last:  # an empty tree has an invalid page number
            return b""
        self.file.seek(number * self.size)
        return self.file.read(self.size)


def _nodes(page: bytes) -> Iterator[Node]:
    for pointer in range(_HEADER.size, _HEADER.unpack_from(page)[3], POINTER.size):
        yield _node(page, pointer)


def _node(page: bytes, pointer: int) -> Node:
    offset = POINTER.unpack_from(page, pointer)[0]
    low, high, flags, size = NODE.unpack_from(page, offset)
    value = offset + NODE.size + size
    return Node(flags, low | high << 16 | flags << 32, page[value - size : value], page[value:])


def _outer_keys(page: bytes) -> tuple[bytes, bytes] | None:
    """First and last key of a leaf page, or None if it is empty."""
    _, size, flags, lower, _ = _HEADER.unpack_from(page)
    count = (lower - _HEADER.size) // POINTER.size
    if not count:
        return None
    if flags & LEAF2:
        last = _HEADER.size + size * (count - 1)
        return page[_HEADER.size : _HEADER.size + size], page[last : last + size]
    return _node(page, _HEADER.size).key, _node(page, lower - POINTER.size).key
