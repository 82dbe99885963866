"""Numbered lines of bytes from a path or `-`, plain or compressed.

Compression is recognised by the first bytes, so it also works on standard input. A file named `.gz`, `.bz2` or `.zst` whose
content is not of that format is an error; otherwise an empty or already unpacked `.gz` file would be read as valid. Archives
are errors too. A line has a maximum length, which bounds the memory of every reader.
"""

from __future__ import annotations

import io
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from lateint_eval.formats.archives import HEAD
from lateint_eval.formats.compression import SUFFIXES, Buffered, Stream, compression, decompressed
from lateint_store.errors import FormatError, InputError

DEFAULT_LINE_LIMIT = 128 << 20  # bytes; the largest documents of public corpora have a few million
_line_limit = DEFAULT_LINE_LIMIT


@contextmanager
def limited_lines(size: int) -> Iterator[None]:
    """Inside the block, readers refuse lines of more than `size` bytes."""
    global _line_limit
    before, _line_limit = _line_limit, size
    try:
        yield
    finally:
        _line_limit = before


def line_limit() -> int:
    """Return the maximum length of a line in bytes."""
    return _line_limit


def source_name(path: str | Path) -> str:
    """Return the name of the input for error messages: the path, or `<stdin>`."""
    return "<stdin>" if str(path) == "-" else str(path)


def bare_name(path: str | Path) -> str:
    """Return the file name in lower case without its compression suffix: `Corpus.jsonl.gz` gives `corpus.jsonl`."""
    name = Path(path).name.lower()
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


def raw_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line including its line end).

    Raises: InputError if the input cannot be opened or is an archive; FormatError for a line above the limit, and where
    compressed data is damaged or truncated.
    """
    source, number = source_name(path), 0
    with open_plain(path) as file:
        try:
            for number, line in numbered(decompressed(file, path, source), source):
                yield number, line
        except (OSError, EOFError, zlib.error) as error:
            raise FormatError(source, number + 1, f"cannot read further: {error}; is the file cut short?") from error


def numbered(stream: Stream, source: str, first: int = 1) -> Iterator[tuple[int, bytes]]:
    """Yield the numbered lines of an open stream. Raises: FormatError for a line above the limit."""
    limit = _line_limit
    for number, line in enumerate(iter(lambda: stream.readline(limit + 1), b""), start=first):
        if len(line) > limit:
            reason = f"more than {limit / 2**20:g} MiB; is it text? `lateint --line-limit MIB` allows longer lines"
            raise FormatError(source, number, reason)
        yield number, line


def read_lines(path: str | Path, *, whole: bool = False) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, line), without line ends, blank lines and a leading byte order mark.

    Args: `whole` refuses a last line without a line end, which a command that was killed may have cut.
    """
    for number, raw in raw_lines(path):
        if whole and not raw.endswith(b"\n"):
            reason = "the input ends inside this line, without a line end; did the command that writes it fail?"
            raise FormatError(source_name(path), number, reason)
        if line := stripped(number, raw):
            yield number, line


def stripped(number: int, raw: bytes) -> bytes:
    """Return a line without its end and a leading byte order mark; empty for a blank line."""
    line = raw.rstrip(b"\r\n")
    if number == 1:
        line = line.removeprefix(b"\xef\xbb\xbf")
    return line if line.strip(b" ") else b""


def first_line(path: str | Path, *, whole: bool = False) -> tuple[bytes, Iterator[tuple[int, bytes]]]:
    """Return the first line (b"" for an empty input) and all lines, so that a reader can recognise the layout."""
    lines = read_lines(path, whole=whole)
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


def file_mode(path: str | Path) -> int:
    """Return the type of a file as `stat` gives it; 0 for what is not there, and for an empty or impossible name."""
    try:
        return Path(path).stat().st_mode if str(path) else 0
    except (OSError, ValueError):
        return 0


def is_stream(path: str | Path) -> bool:
    """Return True for `-`, and for a pipe or a device."""
    return str(path) == "-" or (file_mode(path) != 0 and not can_reread(path))


def is_folder(path: str | Path) -> bool:
    """Return True for a folder; False for `-`, for what is not there, and for an empty or impossible name."""
    return str(path) != "-" and stat.S_ISDIR(file_mode(path))


def can_reread(path: str | Path) -> bool:
    """Return True for a regular file or a folder; False for `-`, pipes and devices, whose content can be read only once."""
    return str(path) != "-" and (stat.S_ISREG(mode := file_mode(path)) or stat.S_ISDIR(mode))


def is_seekable_plain(path: str | Path) -> bool:
    """Return True if the input is an uncompressed regular file, which can be read at an offset."""
    if str(path) == "-" or not stat.S_ISREG(file_mode(path)):
        return False
    with open_plain(path) as file:
        return compression(file.peek(HEAD), path, source_name(path)) is None


@contextmanager
def open_plain(path: str | Path) -> Iterator[Buffered]:
    """Open the input without decompression. Raises: InputError with the reason if that fails."""
    if str(path) == "-":
        if sys.stdin is None:
            raise InputError("cannot read standard input: it is closed; expected a pipe or a file there")
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
        if not str(path):  # for `Path`, this folder
            raise ValueError("the name is empty")
        return Path(path).open("rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read {path}: {reason}; expected a file, or - for stdin") from error
