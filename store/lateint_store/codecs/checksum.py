"""A checksum behind the bytes, for encoded arrays that leave the store; records inside it have checksums already."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar, Literal

from lateint_store.codecs.codec import Buffer
from lateint_store.errors import CodecError

_SIZE = 4


@dataclass(frozen=True, slots=True)
class Checksum:
    """Append the CRC-32 (zlib's polynomial) of the bytes, little-endian. Bytes -> bytes. Error: none.

    Detects every change within 32 neighbouring bits, and all but one in 2**32 of other changes.
    """

    name: ClassVar[str] = "checksum"
    kind: ClassVar[Literal["bytes"]] = "bytes"

    def encode(self, data: Buffer) -> bytes:
        """The bytes, then their CRC."""
        return bytes(data) + zlib.crc32(data).to_bytes(_SIZE, "little")

    def decode(self, data: Buffer, limit: int) -> Buffer:
        """The bytes without their CRC. Raises: CodecError if the CRC does not match."""
        if not _SIZE <= len(data) <= limit + _SIZE:
            raise CodecError(f"{len(data)} bytes with a checksum, expected {_SIZE} to {limit + _SIZE}")
        content, stored = data[:-_SIZE], int.from_bytes(data[-_SIZE:], "little")
        if zlib.crc32(content) != stored:
            raise CodecError(f"checksum {zlib.crc32(content):08x} where {stored:08x} was written")
        return content

    def encoded_limit(self, size: int) -> int:
        """Four bytes more."""
        return size + _SIZE
