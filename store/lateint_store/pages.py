"""Checks of an LMDB file before LMDB maps it: a truncated file would kill the process, a damaged tree mislead it.

Source: the page layout of LMDB 0.9 (data version 1), 64 bits, in the byte order of the machine.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

try:
    from lmdb.verify import VerifyError, verify
except ImportError:  # lmdb < 3.0 has no verifier: sizes and meta pages are checked all the same
    VerifyError, verify = ValueError, None  # type: ignore[assignment,misc]

PAGE_HEADER = struct.Struct("=QHHI")  # page number, pad, flags, pages of an overflow extent
META = struct.Struct("=IIQQ48s48sQQ")  # magic, version, address, map size, free tree, main tree, last page, txn id
PAGE_SIZE = struct.Struct("=I")  # first field of the free tree
PAGE_NUMBER = struct.Struct("=Q")
POINTER = struct.Struct("=H")  # place of a node in its page
MAGIC, VERSION = 0xBEEFC0DE, 1
LEAF_HEADER = struct.Struct("=QHHHH")  # page number, pad, flags, lower and upper end of free space
NODE = struct.Struct("=HHHH")  # bytes of the value, low and high half; flags, bytes of the key
LEAF, OVERFLOW, DIRTY = 0x02, 0x04, 0x10  # flags of pages
SUBPAGE = 0x62  # flags of a short set of duplicates of fixed size, which lies inside a node
SUB_TREE, DUPLICATES = 0x02, 0x04  # flags of nodes
TREE_ROOT = 40  # where the record of a tree names its first page
CHUNK = 1 << 20
ATTEMPTS = 5


class PageError(ValueError):
    """An LMDB file is not what was written."""


@dataclass(frozen=True, slots=True)
class Meta:
    """What the newer of the two meta pages says."""

    page_size: int
    last_page: int
    transaction: int
    root: int  # page number of the main tree


def read_meta(file: BinaryIO) -> Meta:
    """Read both meta pages; they must be of consecutive transactions. Raises: PageError."""
    first = _one_meta(file, 0)
    second = _one_meta(file, first.page_size)
    if first.page_size != second.page_size or abs(first.transaction - second.transaction) > 1:
        raise PageError("its two meta pages do not belong together")
    return max(first, second, key=lambda meta: meta.transaction)


def check_unsealed(data: Path) -> None:
    """Check sizes and tree structure of a file that may be in use by a writer. Raises: PageError.

    A walk that overlaps commits can read pages that are being recycled; it is repeated when a commit came between.
    """
    for _ in range(ATTEMPTS):
        before, problem = _examine(data)
        if problem is None:
            return
        try:
            with data.open("rb") as file:
                after = read_meta(file).transaction
        except PageError:
            raise PageError(problem) from None
        if after == before:
            raise PageError(problem)


def structure_digest(data: Path) -> str:
    """Digest of everything in a file but the contents of overflow pages (which have checksums of their own).

    Raises: PageError where the file is no sequence of pages. Cost: one small read a page or extent.
    """
    digest = hashlib.blake2b(digest_size=32)
    with data.open("rb") as file:
        meta = read_meta(file)
        pages = data.stat().st_size // meta.page_size
        digest.update(struct.pack("<QQQ", meta.page_size, pages, data.stat().st_size))
        page = 0
        while page < pages:
            file.seek(page * meta.page_size)
            content = file.read(meta.page_size)
            _, _, flags, extent = PAGE_HEADER.unpack_from(content)
            overflow = page > 1 and flags & OVERFLOW
            digest.update(content[: PAGE_HEADER.size] if overflow else content)
            page += max(1, extent) if overflow else 1
        if page != pages:
            raise PageError("its last extent reaches beyond its end")
    return digest.hexdigest()


def file_digest(data: Path) -> str:
    """Digest of a whole file."""
    digest = hashlib.blake2b(digest_size=32)
    with data.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _examine(data: Path) -> tuple[int | None, str | None]:
    """Transaction that was examined (None: no meta page) and what is wrong with it (None: nothing)."""
    transaction = None
    try:
        with data.open("rb") as file:
            meta = read_meta(file)
            transaction = meta.transaction
            if verify is None:
                short = data.stat().st_size < (meta.last_page + 1) * meta.page_size
                return transaction, "it is shorter than its last page" if short else None
            errors: list[str] = verify(str(data), subdir=False)  # type: ignore[no-untyped-call]
            if not errors:
                _check_subpages(file, meta)
    except (VerifyError, ValueError, IndexError, struct.error, RecursionError) as error:
        return transaction, f"its pages cannot be read: {error}"
    return transaction, errors[0] if errors else None


def _check_subpages(file: BinaryIO, meta: Meta) -> None:
    """Check the one field that the verifier leaves out: at other flags of a short duplicate set LMDB aborts the process.

    Raises: PageError.
    """
    for flags, tree in _nodes(file, meta, meta.root):
        if flags & SUB_TREE:
            for kind, value in _nodes(file, meta, PAGE_NUMBER.unpack_from(tree, TREE_ROOT)[0]):
                if kind & DUPLICATES and not kind & SUB_TREE and PAGE_HEADER.unpack_from(value)[2] & ~DIRTY != SUBPAGE:
                    raise PageError("the header of a set of duplicates is damaged")


def _nodes(file: BinaryIO, meta: Meta, number: int) -> Iterator[tuple[int, bytes]]:
    """Flags of each node of a leaf page and what follows its key; none of other pages, none of an empty tree."""
    if number > meta.last_page:
        return
    file.seek(number * meta.page_size)
    page = file.read(meta.page_size)
    _, _, flags, lower, _ = LEAF_HEADER.unpack_from(page)
    if flags == LEAF:
        for place in range(LEAF_HEADER.size, lower, 2):
            at = POINTER.unpack_from(page, place)[0]
            _, _, kind, key = NODE.unpack_from(page, at)
            yield kind, page[at + NODE.size + key :]


def _one_meta(file: BinaryIO, offset: int) -> Meta:
    file.seek(offset + PAGE_HEADER.size)
    content = file.read(META.size)
    if len(content) < META.size:
        raise PageError("it is shorter than its meta pages")
    magic, version, _, _, free, main, last_page, transaction = META.unpack(content)
    page_size = PAGE_SIZE.unpack_from(free)[0]
    if (magic, version) != (MAGIC, VERSION) or page_size & (page_size - 1) or not 256 <= page_size <= 1 << 16:
        raise PageError("a meta page is damaged, or it was written on another kind of machine")
    return Meta(page_size, last_page, transaction, PAGE_NUMBER.unpack_from(main, TREE_ROOT)[0])
