"""Records syncs and renames of a call on real files, and tells what a power loss would find half written.

A file is durable if it has not changed since it was synced; a name, if its folder was synced since it has that file. LMDB
syncs `data.mdb` itself, in C; the recorder checks that it is opened so that it does.
"""

import os
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from unittest.mock import patch

import lmdb

UNIMPORTANT = ("writer.lock", "lock.mdb", "empty-*")  # the last is a temporary store


class Recorder:
    """`problems` of a call, and its `renames` in order. `markers`: patterns of names whose rename publishes the root."""

    def __init__(self, root, markers):
        self.root, self.markers = Path(root), markers
        self.problems, self.renames = [], []
        self._files, self._folders = {}, {}
        self._real = {name: getattr(os, name) for name in ("fsync", "replace", "rename")}

    def fsync(self, descriptor):
        self._real["fsync"](descriptor)
        status = os.fstat(descriptor)
        place = Path(f"/proc/self/fd/{descriptor}").resolve()
        if place.is_dir():
            self._folders[status.st_ino] = {entry.name: entry.inode() for entry in os.scandir(place)}
        else:
            self._files[status.st_ino] = (status.st_mtime_ns, status.st_size)

    def rename(self, source, target):
        source, target = Path(source), Path(target)
        if self.root in target.parents:
            self._check(source, target)
            self.renames.append(target.name)
        self._real["replace"](source, target)

    def _check(self, source, target):
        files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
        self.problems += [
            f"{file.name} is renamed to {target.name} before it is synced" for file in files if not self._synced(file)
        ]
        if any(fnmatch(target.name, marker) for marker in self.markers):
            drafts = [source, source.parent] if source.parent != target.parent else [source]
            self.problems += [f"{target.name} is published before {what}" for what in self.lost(drafts)]

    def lost(self, drafts=()):
        """What a power loss now could undo below the root, apart from drafts."""
        for path in sorted(self.root.rglob("*")):
            if self._is_unimportant(path) or any(draft == path or draft in path.parents for draft in drafts):
                continue
            if path.is_file() and path.name != "data.mdb" and not self._synced(path):
                yield f"the bytes of {path.relative_to(self.root)} are synced"
            if not self._named(path):
                yield f"the name of {path.relative_to(self.root)} is synced"

    def end(self):
        """Check after the call that all is durable."""
        self.problems += [f"the call returns before {what}" for what in self.lost()]
        if not self._named(self.root):
            self.problems.append("the call returns before the name of its folder is synced")

    def _is_unimportant(self, path):
        return any(fnmatch(part, name) for part in path.relative_to(self.root).parts for name in UNIMPORTANT)

    def _synced(self, file):
        status = file.stat()
        return self._files.get(status.st_ino) == (status.st_mtime_ns, status.st_size)

    def _named(self, path):
        return self._folders.get(path.parent.stat().st_ino, {}).get(path.name) == path.stat().st_ino

    def open(self, *arguments, **options):
        if not all(options.get(name, True) for name in ("sync", "metasync")) or options.get("writemap"):
            self.problems.append(f"LMDB is opened with {options}")
        return _OPEN(*arguments, **options)

    def known(self):
        """Take all that is there before the call as durable."""
        for path in (self.root, self.root.parent, *self.root.rglob("*")):
            if path.exists():
                descriptor = os.open(path, os.O_RDONLY)
                self.fsync(descriptor)
                os.close(descriptor)


_OPEN = lmdb.open


@contextmanager
def recorded(root, markers=()):
    """Record a call on files below `root`, which need not exist yet."""
    recorder = Recorder(root, markers)
    recorder.known()
    changed = {"fsync": recorder.fsync, "fdatasync": recorder.fsync, "replace": recorder.rename, "rename": recorder.rename}
    with patch.multiple(os, **changed), patch.object(lmdb, "open", recorder.open):
        yield recorder
    recorder.end()
