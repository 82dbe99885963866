"""Output files that are written completely or not at all."""

from __future__ import annotations

import bz2
import gzip
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from lateint_store.disk.files import disk_errors
from lateint_store.errors import InputError


@contextmanager
def replacing(path: str | Path) -> Iterator[Callable[[str], object]]:
    """Yield a function that writes text to a temporary file, which replaces `path` at the end; after an error `path` is kept.

    The suffix chooses the compression (`.gz`, `.bz2`, `.zst`). `-` (standard output) and paths that are not regular files (a
    pipe, /dev/null) are written directly. Raises: InputError if `path` cannot be written, StoreFull if the disk is full.
    """
    if str(path) == "-":
        yield lambda text: sys.stdout.write(text)
        return
    target = Path(os.path.realpath(path))
    direct = target.exists() and not target.is_file()
    temporary = target if direct else target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with disk_errors(path, "write", InputError):
        file = temporary.open("wb" if direct else "xb")
    try:
        stream = _compressing(file, target.suffix.lower())
        yield lambda text: _write(stream, text, path)
        with disk_errors(path, "write", InputError):
            if stream is not file:
                stream.close()
            file.flush()
            if not direct:
                os.fsync(file.fileno())
            file.close()
            if not direct:
                temporary.replace(target)
    except BaseException:
        with suppress(OSError):  # closing writes the buffer once more, which fails again on a full disk
            file.close()
        if not direct:
            temporary.unlink(missing_ok=True)
        raise


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
