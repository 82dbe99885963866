"""Reader of zstd frames that detects truncated files (zstandard's own stream reader ends silently)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zstandard import ZstdDecompressionObj

_CHUNK = 512  # equal bytes grow 32,768-fold, and a chunk is decoded whole: to 16 MiB at most


class ZstdReader(io.RawIOBase):
    """Raw stream over one or more zstd frames; raises EOFError at a truncated frame and OSError at a damaged one."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file, self._frame, self._ready = file, _new_frame(), memoryview(b"")
        self._inside = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with the next decoded bytes and return their number; 0 at the end."""
        while not self._ready:
            compressed = self._next_input()
            if not compressed:
                return 0
            self._decode(compressed)
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _next_input(self) -> bytes:
        compressed = self._file.read(_CHUNK)
        if not compressed and self._inside:
            raise EOFError("the zstd data ends inside a frame")
        return compressed

    def _decode(self, compressed: bytes) -> None:
        from zstandard import ZstdError

        pieces = []
        while compressed:
            try:
                pieces.append(self._frame.decompress(compressed))
            except ZstdError as error:
                raise OSError(f"damaged zstd data ({error})") from error
            self._inside = not self._frame.eof
            compressed = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = _new_frame()
        self._ready = memoryview(b"".join(pieces))


def _new_frame() -> ZstdDecompressionObj:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()
