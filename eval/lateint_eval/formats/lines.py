"""Numbered lines of bytes from a path or `-`, plain or compressed.

Compression is recognised by the first bytes, so it also works on standard input. A file named `.gz`, `.bz2` or `.zst` whose
content is not of that format is an error; otherwise an empty or already unpacked `.gz` file would be read as valid.
"""

from __future__ import annotations

import bz2
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from lateint_eval.formats.zstd import ZstdReader
from lateint_store.errors import FormatError, InputError

if TYPE_CHECKING:
    Buffered = io.BufferedReader

_MAGIC = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".zst": b"\x28\xb5\x2f\xfd"}


def source_name(path: str | Path) -> str:
    """Return the name of the input for error messages: the path, or `<stdin>`."""
    return "<stdin>" if str(path) == "-" else str(path)


def bare_name(path: str | Path) -> str:
    """Return the file name in lower case without its compression suffix: `Corpus.jsonl.gz` gives `corpus.jsonl`."""
    name = Path(path).name.lower()
    return next((name.removesuffix(suffix) for suffix in _MAGIC if name.endswith(suffix)), name)


def raw_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line including its line end).

    Raises: InputError if the input cannot be opened; FormatError where compressed data is damaged or truncated.
    """
    source, number = source_name(path), 0
    with open_plain(path) as file:
        stream = _decompressed(file, path)
        try:
            for number, line in enumerate(stream, start=1):
                yield number, line
        except (OSError, EOFError, zlib.error) as error:
            raise FormatError(source, number + 1, f"cannot read further: {error}; is the file cut short?") from error


def read_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, line), without line ends, blank lines and a leading byte order mark."""
    for number, raw in raw_lines(path):
        line = raw.rstrip(b"\r\n")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip(b" "):
            yield number, line


def first_line(path: str | Path) -> tuple[bytes, Iterator[tuple[int, bytes]]]:
    """Return the first line (b"" for an empty input) and all lines, so that a reader can recognise the layout."""
    lines = read_lines(path)
    head = next(lines, None)
    if head is None:
        return b"", iter(())

    def everything() -> Iterator[tuple[int, bytes]]:
        yield head
        yield from lines

    return head[1], everything()


def decode(line: bytes, source: str, number: int) -> str:
    """Decode UTF-8 strictly. Raises: FormatError that names byte and column."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 (byte 0x{line[error.start]:02x} at column {error.start + 1}); convert the file to UTF-8"
        raise FormatError(source, number, reason) from error


def is_seekable_plain(path: str | Path) -> bool:
    """Return True if the input is an uncompressed regular file, which can be read at an offset."""
    if str(path) == "-" or not Path(path).is_file():
        return False
    with open_plain(path) as file:
        return _compression(file, path) is None


@contextmanager
def open_plain(path: str | Path) -> Iterator[Buffered]:
    """Open the input without decompression. Raises: InputError with the reason if that fails."""
    if str(path) == "-":
        stdin: Buffered = io.BufferedReader(cast(io.RawIOBase, sys.stdin.buffer))
        try:
            yield stdin
        finally:
            stdin.detach()
        return
    with _opened(path) as file:
        yield file


def _opened(path: str | Path) -> Buffered:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; expected a file, or - for stdin") from error


def _compression(file: Buffered, path: str | Path) -> str | None:
    """Return the suffix of the content's format, None for plain text. Raises: InputError if the name has another suffix."""
    head = file.peek(4)
    found = next((suffix for suffix, magic in _MAGIC.items() if head.startswith(magic)), None)
    promised = Path(path).suffix.lower()
    if promised in _MAGIC and found != promised:
        raise InputError(f"{path} is named {promised} but its content is not; rename it or download it again")
    return found


def _decompressed(file: Buffered, path: str | Path) -> BinaryIO:
    found = _compression(file, path)
    if found == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb"))
    if found == ".bz2":
        return cast(BinaryIO, bz2.BZ2File(file))
    if found == ".zst":
        return cast(BinaryIO, io.BufferedReader(ZstdReader(file)))
    return file
