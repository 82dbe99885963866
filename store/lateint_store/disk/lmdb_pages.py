"""Check an LMDB file before LMDB maps it: a truncated file would kill the process, a damaged tree would mislead it.

Source: the page layout of LMDB 0.9 (data version 1), 64-bit, in the byte order of the machine.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lateint_store.disk.lmdb_trees import NUMBER, ROOT, Trees

try:
    from lmdb.verify import VerifyError, verify
except ImportError:  # lmdb < 3.0 has no verifier; sizes and meta pages are still checked
    VerifyError, verify = ValueError, None  # type: ignore[assignment,misc]

_PAGE_HEADER = struct.Struct("=QHHI")  # page number, padding, flags, pages of an overflow extent
META = struct.Struct("=IIQQ48s48sQQ")  # magic, version, address, map size, free tree, main tree, last page, txn id
PAGE_SIZE = struct.Struct("=I")  # first field of the free tree
_MAGIC, _VERSION = 0xBEEFC0DE, 1
OVERFLOW = 0x04
CHUNK = 1 << 20
_ATTEMPTS = 5


class PageError(ValueError):
    """An LMDB file is damaged."""


@dataclass(frozen=True, slots=True)
class Meta:
    """The fields of a meta page that the checks need."""

    page_size: int
    last_page: int
    transaction: int
    root: int  # page number of the main tree


def read_meta(file: BinaryIO) -> Meta:
    """The newer of the two meta pages. Raises: PageError unless they are of consecutive transactions."""
    return read_metas(file)[1]


def read_metas(file: BinaryIO) -> tuple[Meta, Meta]:
    """Both meta pages, the older one first. Raises: PageError unless they are of consecutive transactions."""
    first = _one_meta(file, 0)
    second = _one_meta(file, first.page_size)
    if first.page_size != second.page_size or abs(first.transaction - second.transaction) > 1:
        raise PageError("its two meta pages do not belong together")
    return (first, second) if first.transaction <= second.transaction else (second, first)


def check_unsealed(data: Path) -> None:
    """Check sizes and tree structure of a file that a writer may be using. Raises: PageError.

    A walk that overlaps a commit can read recycled pages, so it is repeated if the transaction changed meanwhile.
    """
    for _ in range(_ATTEMPTS):
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
    """Digest of a whole file except the contents of overflow pages, which have checksums of their own.

    Raises: PageError if the file is not a sequence of pages. Cost: one small read per page or extent.
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
            _, _, flags, extent = _PAGE_HEADER.unpack_from(content)
            overflow = page > 1 and flags & OVERFLOW
            digest.update(content[: _PAGE_HEADER.size] if overflow else content)
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
    """The transaction that was examined (None: no meta page) and the problem found (None: no problem)."""
    transaction = None
    try:
        with data.open("rb") as file:
            older, meta = read_metas(file)
            transaction = meta.transaction
            errors: list[str] = []
            if verify is not None:
                errors = verify(str(data), subdir=False)  # type: ignore[no-untyped-call]
            elif data.stat().st_size < (meta.last_page + 1) * meta.page_size:
                errors = ["it is shorter than its last page"]
            if not errors:
                trees = Trees(file, meta.page_size, meta.last_page)
                trees.check(meta.root)
                for page in (older, meta):
                    trees.check_transaction(page.root, page.transaction)
    except (VerifyError, ValueError, IndexError, struct.error, RecursionError) as error:
        return transaction, f"its pages cannot be read: {error}"
    return transaction, errors[0] if errors else None


def _one_meta(file: BinaryIO, offset: int) -> Meta:
    file.seek(offset + _PAGE_HEADER.size)
    content = file.read(META.size)
    if len(content) < META.size:
        raise PageError("it is shorter than its meta pages")
    magic, version, _, _, free, main, last_page, transaction = META.unpack(content)
    page_size = PAGE_SIZE.unpack_from(free)[0]
    if (magic, version) != (_MAGIC, _VERSION) or page_size & (page_size - 1) or not 256 <= page_size <= 1 << 16:
        raise PageError("a meta page is damaged, or it was written on another kind of machine")
    return Meta(page_size, last_page, transaction, NUMBER.unpack_from(main, ROOT)[0])
