"""Output files that are written completely or not at all."""

from __future__ import annotations

import bz2
import fcntl
import gzip
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from lateint_eval.formats.lines import file_mode
from lateint_store.arguments import as_path, escaped
from lateint_store.disk.files import disk_errors, open_regular, sync_folder
from lateint_store.errors import InputError, StoreError

Write = Callable[[str], object]
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,6})")
_STANDARD_OUTPUT = 1
_NAMED = {"-": _STANDARD_OUTPUT, "/dev/stdout": _STANDARD_OUTPUT, "/dev/stderr": 2}
_NAME = 100  # characters of a target's name in that of its draft, as names have at most 255 bytes


@contextmanager
def replacing(path: str | Path) -> Iterator[Write]:
    """Yield a function that writes text to a draft, which replaces `path` at the end; after an error `path` is kept.

    The suffix chooses the compression (`.gz`, `.bz2`, `.zst`). Standard output (`-`, `/dev/stdout`), other open descriptors
    and paths that are not regular files (a pipe, /dev/null) are written directly, in UTF-8 like all files. At a terminal
    control characters are escaped.
    Raises: InputError if `path` cannot be written, before the block runs; StoreFull if the disk is full.
    """
    descriptor = _descriptor(path)
    if descriptor == _STANDARD_OUTPUT:
        yield _visible(_standard_output(), descriptor)
    elif descriptor is not None or not stat.S_ISREG(file_mode(as_path(path, "path", "the path of a file")) or stat.S_IFREG):
        with disk_errors(path, "write", InputError):
            number = os.open(path, os.O_WRONLY) if descriptor is None else os.dup(descriptor)
        with _writing(os.fdopen(number, "wb"), path) as write:
            yield _visible(write, number)
    else:
        with _drafted(Path(os.path.realpath(path)), path) as write:
            yield write


def _descriptor(path: str | Path) -> int | None:
    """Return the number of the open descriptor that a path names; None for other paths."""
    text = str(path)
    found = _DESCRIPTOR.fullmatch(text)
    return _NAMED.get(text) if found is None else int(found[1])


def _visible(write: Write, descriptor: int) -> Write:
    """Escape what a terminal would obey: ids may hold marks that reorder the text around them."""
    return (lambda text: write(escaped(text))) if os.isatty(descriptor) else write


def _standard_output() -> Write:
    binary = getattr(sys.stdout, "buffer", None)  # notebooks have none
    if binary is None:
        return sys.stdout.write
    sys.stdout.flush()
    return lambda text: binary.write(text.encode())


@contextmanager
def _drafted(target: Path, path: str | Path) -> Iterator[Write]:
    """Write to a draft beside the target, then rename it."""
    with disk_errors(path, "write", InputError):
        _remove_stale(target)
        file = _new_draft(target)
    draft = Path(file.name)

    def replace() -> None:
        os.fsync(file.fileno())
        draft.replace(target)  # while the draft is locked: nobody takes it for a stale one
        with suppress(PermissionError):  # a folder that may be written but not read
            sync_folder(target.parent)

    try:
        with _writing(file, path, replace) as write:
            yield write
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def _writing(file: BinaryIO, path: str | Path, finish: Callable[[], object] = lambda: None) -> Iterator[Write]:
    """Write to an open file, compressed as the path's suffix says, call `finish`, and close the file."""
    try:
        stream = _compressing(file, Path(path).suffix.lower())
        yield lambda text: _write(stream, text, path)
        with disk_errors(path, "write", InputError):
            if stream is not file:
                stream.close()
            file.flush()
            finish()
            file.close()
    except BaseException:
        with suppress(OSError):  # closing writes the buffer once more, which fails again on a full disk
            file.close()
        raise


def _new_draft(target: Path) -> BinaryIO:
    """Create a draft and lock it. A process that removes stale drafts may have come first: then create another."""
    while True:
        file = target.with_name(f"{_prefix(target)}{secrets.token_hex(8)}.tmp").open("xb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()


def _remove_stale(target: Path) -> None:
    """Remove the drafts of killed processes: those that nobody has locked."""
    draft = re.compile(re.escape(_prefix(target)) + r"([0-9]+|[0-9a-f]{16})\.tmp")
    with suppress(PermissionError):  # a folder that may be written but not read
        for path in target.parent.iterdir():
            if draft.fullmatch(path.name):
                with suppress(OSError, StoreError), os.fdopen(open_regular(path, os.O_RDONLY)) as stale:
                    fcntl.flock(stale, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unless it is locked, gone, of another user, or a pipe
                    path.unlink()


def _prefix(target: Path) -> str:
    return f".{target.name[:_NAME]}."


def _write(stream: IO[bytes], text: str, path: str | Path) -> int:
    with disk_errors(path, "write", InputError):
        return stream.write(text.encode("utf-8"))


def _compressing(file: IO[bytes], suffix: str) -> IO[bytes]:
    if suffix == ".gz":
        return cast(IO[bytes], gzip.GzipFile("", "wb", fileobj=file, mtime=0))
    if suffix == ".bz2":
        return cast(IO[bytes], bz2.BZ2File(file, "wb"))
    if suffix == ".zst":
        import zstandard

        return cast(IO[bytes], zstandard.ZstdCompressor().stream_writer(file, closefd=False))
    return file
