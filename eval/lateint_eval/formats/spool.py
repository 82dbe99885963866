"""A file that can be read twice: itself if it is plain, else an unpacked temporary copy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lateint_eval.formats.lines import is_seekable_plain, raw_lines


@contextmanager
def spooled(path: str | Path) -> Iterator[Path]:
    """Yield a path of plain bytes that stays readable inside the block. Cost: one copy on disk if packed or stdin."""
    if is_seekable_plain(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="lateint-") as folder:
        copy = Path(folder) / "input"
        with copy.open("wb") as file:
            file.writelines(raw for _, raw in raw_lines(path))
        yield copy
