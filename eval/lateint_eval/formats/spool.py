"""A file that can be read twice: a plain file itself, otherwise an unpacked temporary copy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lateint_eval.formats.lines import is_seekable_plain, raw_lines


@contextmanager
def spooled(path: str | Path) -> Iterator[Path]:
    """Yield the path of an uncompressed file. Cost: one copy on disk for compressed files and standard input."""
    if is_seekable_plain(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="lateint-") as folder:
        copy = Path(folder) / "input"
        with copy.open("wb") as file:
            file.writelines(raw for _, raw in raw_lines(path))
        yield copy
