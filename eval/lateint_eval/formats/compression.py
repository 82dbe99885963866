"""Decompression of streams: the format is recognised by the first bytes, which are read without being lost."""

from __future__ import annotations

import bz2
import gzip
import io
import re
from pathlib import Path
from typing import Any, cast

from lateint_eval.formats.archives import HEAD, refuse_archive
from lateint_eval.formats.zstd import ZstdReader
from lateint_store.errors import InputError

Stream = io.BufferedIOBase
Buffered = io.BufferedReader
_MAGIC = {
    ".gz": re.compile(rb"\x1f\x8b\x08"),
    ".bz2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),  # of a block, or of an empty file
    ".zst": re.compile(rb"\x28\xb5\x2f\xfd"),
}
SUFFIXES = tuple(_MAGIC)
_BUFFER = 1 << 17


def compression(head: bytes, path: str | Path, source: str) -> str | None:
    """Return the suffix of the content's format, None for plain text.

    Raises: InputError for an archive, or if the name has another suffix.
    """
    found = next((suffix for suffix, magic in _MAGIC.items() if magic.match(head)), None)
    promised = Path(path).suffix.lower()
    if promised in _MAGIC and found != promised:
        raise InputError(f"{path} is named {promised} but its content is not; rename it or download it again")
    refuse_archive(head, source, unpacked=False)
    return found


def decompressed(file: Buffered, path: str | Path, source: str) -> Stream:
    """Return the stream of the plain bytes of an input. Raises: InputError as `compression`, also for an archive inside."""
    head, stream = _look(file)
    found = compression(head, path, source)
    if found is None:
        return stream
    inside: Stream
    if found == ".gz":
        inside = cast(Stream, gzip.GzipFile(fileobj=stream, mode="rb"))
    elif found == ".bz2":
        inside = cast(Stream, bz2.BZ2File(stream))
    else:
        inside = io.BufferedReader(ZstdReader(stream))
    head, text = _look(inside)
    refuse_archive(head, source, unpacked=True)
    return text


def _look(stream: Stream) -> tuple[bytes, Buffered]:
    """Return the first bytes of a stream, and a stream that still begins with them.

    `peek` would return fewer bytes where a pipe delivers fewer at first.
    """
    head = stream.read(HEAD)
    return head, io.BufferedReader(_Prefixed(head, stream), _BUFFER)


class _Prefixed(io.RawIOBase):
    """A raw stream of some bytes that were already read, and the rest."""

    def __init__(self, head: bytes, rest: Stream) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with the next bytes and return their number; 0 at the end."""
        if not self._head:
            return self._rest.readinto1(buffer)
        size = min(len(buffer), len(self._head))
        buffer[:size] = self._head[:size]
        self._head = self._head[size:]
        return size
