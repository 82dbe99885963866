"""Compressed files in blocks, so that reading can begin at any of them: frames of zstd, members of gzip, streams of bzip2."""

from __future__ import annotations

import bz2
import io
import os
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Protocol

from lateint_eval.formats.compression import Buffered
from lateint_eval.formats.records import Doc
from lateint_eval.formats.writers import corpus_line
from lateint_store.arguments import as_path
from lateint_store.disk.files import disk_errors, sync_folder
from lateint_store.errors import InputError

_CHUNK = 512  # as `ZstdReader`: a chunk is decoded whole, and equal bytes grow 32,768-fold


class _Decompressor(Protocol):
    """What decodes one block."""

    @property
    def eof(self) -> bool:
        """True behind the end of the block."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What followed the block in the bytes that were given."""
        ...

    def decompress(self, data: bytes, /) -> bytes:
        """Decode some more bytes."""
        ...


def _zstd_frame() -> _Decompressor:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


def _gzip_member() -> _Decompressor:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


_NEW: dict[str, Callable[[], _Decompressor]] = {".zst": _zstd_frame, ".gz": _gzip_member, ".bz2": bz2.BZ2Decompressor}


class BlockReader(io.RawIOBase):
    """Raw stream of the plain bytes of a compressed file, from the block at its position on; notes where blocks begin.

    Raises: EOFError at a block that is cut short, OSError at a damaged one.
    """

    def __init__(self, file: Buffered, suffix: str) -> None:
        self._file, self._new = file, _NEW[suffix]
        self._end, self._plain = file.tell(), 0  # bytes read from the file up to here, and decoded since
        self._left, self._ready = b"", memoryview(b"")
        self._block: _Decompressor | None = None
        self._starts: list[tuple[int, int]] = []  # of each block: plain bytes before it, and its place in the file

    def readable(self) -> bool:
        """Return True."""
        return True

    @property
    def blocks(self) -> int:
        """Return how many blocks were begun."""
        return len(self._starts)

    def place_of(self, plain: int) -> tuple[int, int]:
        """Return the place in the file of the block that holds a plain byte, and how many plain bytes are before it there."""
        before, place = self._starts[bisect_right(self._starts, (plain, 1 << 62)) - 1]
        return place, plain - before

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what io hands over is a memoryview
        """Fill `buffer` with the next decoded bytes and return their number; 0 at the end."""
        while not self._ready:
            chunk = self._left or self._read()
            if not chunk:
                if self._block is not None:
                    raise EOFError("the compressed data ends inside a block")
                return 0
            self._decode(chunk)
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _read(self) -> bytes:
        chunk = self._file.read(_CHUNK)
        self._end += len(chunk)
        return chunk

    def _decode(self, chunk: bytes) -> None:
        if self._block is None:
            self._block = self._new()
            self._starts.append((self._plain, self._end - len(chunk)))
        try:
            self._ready = memoryview(self._block.decompress(chunk))
        except Exception as error:  # each library has its own
            raise OSError(f"damaged compressed data ({error})") from error
        self._plain += len(self._ready)
        self._left = self._block.unused_data if self._block.eof else b""
        if self._block.eof:
            self._block = None


def write_blocks(path: str | Path, docs: Iterable[Doc], size: int) -> int:
    """Write documents as JSON lines into a zstd file (`.zst`) with one frame for every `size` of them; return their number.

    The file appears as a whole, or not at all. Raises: InputError for another suffix, and if it cannot be written; StoreFull.
    """
    import zstandard

    target, total, waiting = as_path(path, "path", "the path of a file"), 0, iter(docs)
    if target.suffix != ".zst":
        raise InputError(f"{path} does not end in .zst; blocks are frames of zstd: name it {target.name}.jsonl.zst")
    draft = target.with_name(f".{target.name[:100]}.tmp")
    try:
        with disk_errors(path, "write", InputError), draft.open("wb") as file:
            while block := list(islice(waiting, size)):
                text = "".join(corpus_line(doc) for doc in block).encode()
                file.write(zstandard.ZstdCompressor(write_checksum=True).compress(text))
                total += len(block)
            file.flush()
            os.fsync(file.fileno())
        with disk_errors(path, "write", InputError):
            draft.replace(target)
            sync_folder(target.absolute().parent)
    finally:
        with suppress(OSError):
            draft.unlink()
    return total
