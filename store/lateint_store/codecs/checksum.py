"""A checksum for bytes that leave the store; records in a store have their own."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar, Literal

from lateint_store.codecs.codec import Buffer
from lateint_store.errors import CodecError

SIZE = 4


@dataclass(frozen=True, slots=True)
class Checksum:
    """CRC-32 (zlib's polynomial) of the bytes, little-endian, behind them. Bytes -> bytes. Error: none.

    Finds every change of up to 32 neighbouring bits, and others but for one in 2**32.
    """

    name: ClassVar[str] = "checksum"
    kind: ClassVar[Literal["bytes"]] = "bytes"

    def encode(self, data: Buffer) -> bytes:
        """The bytes and their CRC."""
        return bytes(data) + zlib.crc32(data).to_bytes(SIZE, "little")

    def decode(self, data: Buffer, limit: int) -> Buffer:
        """The bytes without the CRC, compared."""
        if not SIZE <= len(data) <= limit + SIZE:
            raise CodecError(f"{len(data)} bytes with a checksum, expected {SIZE} to {limit + SIZE}")
        content, stored = data[:-SIZE], int.from_bytes(data[-SIZE:], "little")
        if zlib.crc32(content) != stored:
            raise CodecError(f"checksum {zlib.crc32(content):08x} where {stored:08x} was written")
        return content

    def encoded_limit(self, size: int) -> int:
        """Four bytes more."""
        return size + SIZE
