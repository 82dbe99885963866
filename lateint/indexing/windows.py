"""`WindowPlan`: where each window of a corpus begins and the running digest behind it, so that a shard reads only its own.

The file is JSON: `format` "lateint corpus windows", `version` 1, `corpus` (name of the file), `bytes` (its size), `layout`,
`size` (documents of a window), `windows` (for each: offset in the file, plain bytes to skip there, line number, documents,
running digest of the source behind it), and `digest`, the blake2b-16 of the JSON of all other entries.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lateint.errors import InputError
from lateint.indexing.source_digest import SourceDigest
from lateint.model.document import Document
from lateint_store.arguments import as_path
from lateint_store.disk.files import read_regular, replace_file

FORMAT, VERSION = "lateint corpus windows", 1


class Window(NamedTuple):
    """A window: where it begins, how many documents it has, and the running digest of the source behind it."""

    offset: int
    skip: int
    line: int
    documents: int
    digest: str


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """The windows of a corpus. `corpus`: name of its file, of `bytes` bytes; `size`: documents of all windows but the last."""

    corpus: str
    bytes: int
    layout: str
    size: int
    windows: tuple[Window, ...]

    @property
    def content(self) -> str:
        """Digest of all windows and their texts: 32 hex digits."""
        return _digest(self._json())

    @property
    def documents(self) -> int:
        """Number of documents."""
        return sum(window.documents for window in self.windows)

    def digest_before(self, number: int) -> SourceDigest:
        """The running digest before a window."""
        return SourceDigest(self.windows[number - 1].digest if number else "")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan; it replaces the file as a whole. Raises: StoreError, StoreFull."""
        data = self._json()
        replace_file(as_path(path, "path", "the path of a file"), json.dumps(data | {"digest": _digest(data)}).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WindowPlan:
        """Read a plan. Raises: InputError for a file that is none, or was altered."""
        file = as_path(path, "windows", "the path of a plan of windows")
        try:
            data = json.loads(read_regular(file))
            if data.pop("digest") != _digest(data) or (data.pop("format"), data.pop("version")) != (FORMAT, VERSION):
                raise ValueError("its digest, format or version is another")
            return cls(**data | {"windows": tuple(Window(*window) for window in data["windows"])})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file} is no plan of windows: {error}; make one with `lateint corpus windows`") from error

    def _json(self) -> dict[str, object]:
        names = ("corpus", "bytes", "layout", "size", "windows")
        return {"format": FORMAT, "version": VERSION} | {name: getattr(self, name) for name in names}


def plan_windows(file: Path, size: int, found: Iterable[tuple[str, tuple[int, int, int], Sequence[Document]]]) -> WindowPlan:
    """Make the plan of a corpus from the layout, start and documents of each of its windows."""
    digest, windows, layouts = SourceDigest(), list[Window](), [""]
    before = file.stat().st_size
    for layout, start, documents in found:
        layouts.append(layout)
        digest = digest.extended(documents)
        windows.append(Window(*start, len(documents), digest.value))
    if file.stat().st_size != before:
        raise InputError(f"{file} changed while its windows were planned; plan it again when it is complete")
    return WindowPlan(file.name, before, layouts[-1], size, tuple(windows))


class PlannedDocuments:
    """The documents of a planned corpus, in order or window by window. `read` returns those of a window as they are now.

    Pickled, if `read` can be, to be read on another machine.
    """

    def __init__(self, plan: WindowPlan, file: Path, read: Callable[[Window], Sequence[Document]]) -> None:
        """Raises: as `check`."""
        self.plan, self.file, self.read = plan, file, read
        self.check()

    def check(self) -> None:
        """Check that the file is there. Raises: InputError if not, or if it has another size than when it was planned."""
        try:
            size = self.file.stat().st_size
        except OSError as error:
            raise InputError(f"cannot read {self.file}: {error.strerror}; every machine needs it at this path") from error
        if size != self.plan.bytes:
            raise InputError(f"{self.file} has {size} bytes, and had {self.plan.bytes} when its windows were planned; {_AGAIN}")

    def shard_size(self, shard: int, shards: int) -> int:
        """Return the number of documents of shard i/n."""
        return sum(window.documents for window in self.plan.windows[shard::shards])

    def __len__(self) -> int:
        return self.plan.documents

    def __iter__(self) -> Iterator[Document]:
        for number in range(len(self.plan.windows)):
            yield from self.window(number)

    def window(self, number: int) -> list[Document]:
        """Return the documents of one window. Raises: InputError if they are not those that were planned."""
        window = self.plan.windows[number]
        try:
            found = list(self.read(window))
        except InputError as error:
            raise self._changed(number, str(error)) from error
        if len(found) != window.documents or self.plan.digest_before(number).extended(found).value != window.digest:
            raise self._changed(number, f"{len(found)} documents there, {window.documents} planned, or other texts")
        return found

    def _changed(self, number: int, reason: str) -> InputError:
        line = self.plan.windows[number].line
        return InputError(
            f"{self.file}: window {number}, from line {line} on, changed since it was planned: {reason}; {_AGAIN}"
        )


_AGAIN = "plan it again (`lateint corpus windows`), and build all shards from the new plan in new folders"


def _digest(data: dict[str, object]) -> str:
    return hashlib.blake2b(json.dumps(data, sort_keys=True).encode(), digest_size=16).hexdigest()
