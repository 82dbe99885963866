"""Blocks: the values in LMDB, each with consecutive documents of one window. store/README.md specifies the layout.

A read touches the header, the offset table and the document's own bytes, so large blocks cost no read amplification.
Few values leave little slack in pages.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lateint_store.errors import InputError

BLOCK_MAGIC = b"LTB1"
BLOCK_HEADER = struct.Struct("<4sHHQ8sQ")  # magic, count, flags (0), first ordinal, start of the store's uuid, window
CRC = struct.Struct("<I")
_SPAN = struct.Struct("<II")
DIGEST_SIZE = 16
TABLE_START = BLOCK_HEADER.size + CRC.size
MAX_DOCUMENTS = 64
MAX_BLOCK = 1 << 20
MAX_RECORD = (1 << 31) - (1 << 16)
PAGE = 4096
_PAGE_HEADER = 16
MAX_ID_BYTES = (1 << 16) - 1


class BlockError(ValueError):
    """A block or record is damaged; the reader adds the location and raises DamagedStore."""


@dataclass(frozen=True, slots=True)
class EncodedDocument:
    """One document ready to write: id (UTF-8), rows, payload of each array in name order, content digest."""

    doc_id: bytes
    rows: int
    payloads: tuple[bytes, ...]
    digest: bytes


class RecordHeader(NamedTuple):
    """The checked header of a document's record. `start`: offset of its payloads in the block."""

    doc_id: bytes
    rows: int
    start: int
    lengths: tuple[int, ...]
    checksums: tuple[int, ...]


class BlockFormat:
    """Reads and writes the blocks of one store: `arrays` payloads per record, bound to the store's uuid."""

    def __init__(self, uuid: bytes, arrays: int) -> None:
        self.uuid = uuid[:8]
        self.arrays = arrays
        self.seed = zlib.crc32(self.uuid)
        self.record_header = struct.Struct(f"<IHI{arrays}I{arrays}I")  # crc, id bytes, rows, lengths, payload checksums

    def record_size(self, document: EncodedDocument) -> int:
        """Bytes of a document's record. Raises: InputError above 2 GiB."""
        size = self.record_header.size + len(document.doc_id) + sum(map(len, document.payloads))
        if size > MAX_RECORD:
            raise InputError(f"document {document.doc_id.decode()!r}: {size} encoded bytes, at most {MAX_RECORD} fit")
        return size

    def split(self, documents: Sequence[EncodedDocument]) -> list[Sequence[EncodedDocument]]:
        """Cut the documents of a window into blocks of at most 64 documents and about 1 MiB.

        If n documents would fit, a block takes n / 2 to n of them: the count that wastes least of the last page per document.
        """
        sizes = [self.record_size(document) + CRC.size for document in documents]
        blocks, start = [], 0
        while start < len(documents):
            end = start + _best_count(sizes[start : start + MAX_DOCUMENTS])
            blocks.append(documents[start:end])
            start = end
        return blocks

    def write(self, documents: Sequence[EncodedDocument], first: int, window: int) -> bytes:
        """The bytes of a block of `documents`, whose ordinals start with `first`."""
        records = [self._record(document, first + index) for index, document in enumerate(documents)]
        offset = TABLE_START + CRC.size * (len(records) + 1)
        table = [offset]
        for record in records:
            offset += len(record)
            table.append(offset)
        start = BLOCK_HEADER.pack(BLOCK_MAGIC, len(records), 0, first, self.uuid, window)
        offsets = struct.pack(f"<{len(table)}I", *table)
        body = b"".join((start, CRC.pack(zlib.crc32(offsets, zlib.crc32(start))), offsets, *records))
        return body + hashlib.blake2b(body, digest_size=DIGEST_SIZE).digest()

    def _record(self, document: EncodedDocument, ordinal: int) -> bytes:
        """The bytes of one document's record; its checksum covers uuid, ordinal and the checksums of the payloads."""
        header = self.record_header.pack(
            0, len(document.doc_id), document.rows, *map(len, document.payloads), *map(zlib.crc32, document.payloads)
        )
        crc = zlib.crc32(document.doc_id, zlib.crc32(header[CRC.size :], (self.seed ^ ordinal) & 0xFFFFFFFF))
        return b"".join((CRC.pack(crc), header[CRC.size :], document.doc_id, *document.payloads))

    def open(self, value: memoryview, key: int) -> Block:
        """Check a block's header and offset table. Raises: BlockError."""
        if len(value) < TABLE_START + DIGEST_SIZE:
            raise BlockError(f"a block of {len(value)} bytes")
        magic, count, flags, first, uuid, window = BLOCK_HEADER.unpack_from(value)
        end = TABLE_START + CRC.size * (count + 1)
        if magic != BLOCK_MAGIC or flags != 0 or not 1 <= count <= MAX_DOCUMENTS or end + DIGEST_SIZE > len(value):
            raise BlockError("the header of a block is damaged")
        crc = zlib.crc32(value[TABLE_START:end], zlib.crc32(value[: BLOCK_HEADER.size]))
        if crc != CRC.unpack_from(value, BLOCK_HEADER.size)[0]:
            raise BlockError("the checksum of a block's header does not match")
        if uuid != self.uuid or first != key:
            raise BlockError(f"the block belongs to store {uuid.hex()}, ordinal {first}")
        return Block(self, value, first, count, window)


@dataclass(slots=True, eq=False)
class Block:
    """A view of one block with a checked header; valid as long as its read transaction."""

    format: BlockFormat
    value: memoryview
    first: int
    count: int
    window: int

    def record_header(self, ordinal: int) -> RecordHeader:
        """The header of one document's record. Raises: BlockError."""
        format, value = self.format, self.value
        start, end = _SPAN.unpack_from(value, TABLE_START + CRC.size * (ordinal - self.first))
        after = start + format.record_header.size
        if not after <= end <= len(value) - DIGEST_SIZE:
            raise BlockError("a record does not fit in its block")
        crc, id_size, rows, *sizes = format.record_header.unpack_from(value, start)
        lengths = tuple(sizes[: format.arrays])
        payloads = after + id_size
        if payloads + sum(lengths) != end:
            raise BlockError("the lengths of a record do not add up")
        if zlib.crc32(value[start + CRC.size : payloads], (format.seed ^ ordinal) & 0xFFFFFFFF) != crc:
            raise BlockError("the checksum of a record header does not match")
        return RecordHeader(bytes(value[after:payloads]), rows, payloads, lengths, tuple(sizes[format.arrays :]))

    def payloads(self, header: RecordHeader, columns: Sequence[int]) -> list[bytes]:
        """Copy the payloads of the arrays number `columns` and compare their checksums. Raises: BlockError."""
        copies = []
        for column in columns:
            start = header.start + sum(header.lengths[:column])
            data = bytes(self.value[start : start + header.lengths[column]])
            if zlib.crc32(data) != header.checksums[column]:
                raise BlockError(f"the checksum of array number {column} does not match")
            copies.append(data)
        return copies

    def check_digest(self) -> None:
        """Compare the digest of the whole block. Raises: BlockError if it differs."""
        body, stored = self.value[:-DIGEST_SIZE], self.value[-DIGEST_SIZE:]
        if hashlib.blake2b(body, digest_size=DIGEST_SIZE).digest() != stored:
            raise BlockError("the digest of a block does not match")


def _best_count(sizes: Sequence[int]) -> int:
    """How many of the next documents to put in a block, given the bytes of each record and its table entry."""
    totals: list[int] = []
    total = TABLE_START + CRC.size + DIGEST_SIZE + _PAGE_HEADER
    for size in sizes:
        total += size
        if totals and total > MAX_BLOCK:
            break
        totals.append(total)
    counts = range(max(1, len(totals) // 2), len(totals) + 1)
    return min(counts, key=lambda count: (-totals[count - 1] % PAGE / count, -count))
