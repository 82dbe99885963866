"""zstd compression."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import ClassVar, Literal

import zstandard

from lateint_store.codecs.codec import Buffer, check_choice
from lateint_store.errors import CodecError

# Compressor and decompressor of each thread and setting: sharing one between threads crashes the process.
_local = threading.local()


@dataclass(frozen=True, slots=True)
class Zstd:
    """One zstd frame that states its content size. Bytes -> bytes. Error: none.

    `level` defaults to 1: on quantised states it is both faster and smaller than 3. `checksum` adds 4 bytes per frame;
    without it, zstd decodes most flipped bits to wrong values of the right length.
    """

    name: ClassVar[str] = "zstd"
    kind: ClassVar[Literal["bytes"]] = "bytes"
    level: int = 1
    checksum: bool = True

    def __post_init__(self) -> None:
        check_choice(self.name, "level", self.level, tuple(range(1, 23)))
        check_choice(self.name, "checksum", self.checksum, (True, False))

    def encode(self, data: Buffer) -> bytes:
        """Compress."""
        key = (self.level, self.checksum)
        compressors: dict[tuple[int, bool], zstandard.ZstdCompressor] = _local.__dict__.setdefault("compressors", {})
        if key not in compressors:
            compressors[key] = zstandard.ZstdCompressor(level=self.level, write_checksum=self.checksum)
        return compressors[key].compress(data)

    def decode(self, data: Buffer, limit: int) -> Buffer:
        """Decompress. Raises: CodecError; the size in the frame header is compared before memory is allocated."""
        try:
            frame = zstandard.get_frame_parameters(data)
            if not 0 <= frame.content_size <= limit:
                raise CodecError(f"zstd frame states {frame.content_size} bytes, at most {limit} expected")
            if frame.dict_id != 0 or frame.has_checksum != self.checksum:
                raise CodecError("zstd frame was written with other settings")
            if not hasattr(_local, "decompressor"):
                _local.decompressor = zstandard.ZstdDecompressor()
            content: bytes = _local.decompressor.decompress(data, max_output_size=limit, allow_extra_data=False)
        except (zstandard.ZstdError, MemoryError) as error:
            raise CodecError(f"not an intact zstd frame: {error}") from error
        if len(content) != frame.content_size:
            raise CodecError(f"zstd frame states {frame.content_size} bytes and holds {len(content)}")
        return content

    def encoded_limit(self, size: int) -> int:
        """The worst case of zstd: content, a block header per 128 KiB, frame header and checksum."""
        return size + (size >> 8) + 64 + 32
