"""Files of sealed stores on the local disk: their digests, and the parts that are sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lateint_store.disk.files import disk_errors, regular_file
from lateint_store.disk.lmdb_pages import CHUNK
from lateint_store.errors import StoreError
from lateint_store.remote.publication import RemoteFile


@dataclass(slots=True)
class RunningDigests:
    """Two digests of `count` bytes so far: `sha256` names an object, `file` is what the manifest of a sealed store records."""

    count: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)
    file: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=32))

    def update(self, data: bytes) -> None:
        """Add bytes."""
        self.count += len(data)
        self.sha256.update(data)
        self.file.update(data)


def read_digests(path: Path) -> RunningDigests:
    """The digests of a whole file. Raises: StoreError."""
    digests = RunningDigests()
    with disk_errors(path, "read"), regular_file(path) as file:
        while chunk := file.read(CHUNK):
            digests.update(chunk)
    return digests


def parts_of(path: Path, expected: RemoteFile, size: int) -> Iterator[bytes]:
    """Yield a file in parts of `size` bytes. Raises: StoreError at its end if its digest is not the expected one."""
    digest, sent = hashlib.sha256(), 0
    with disk_errors(path, "read"), regular_file(path) as file:
        while chunk := file.read(size):
            digest.update(chunk)
            sent += len(chunk)
            last = sent >= expected.bytes
            if last and (sent, digest.hexdigest()) != (expected.bytes, expected.sha256):
                break
            yield chunk
    if (sent, digest.hexdigest()) != (expected.bytes, expected.sha256):
        raise StoreError(f"{path} changed while it was uploaded: nothing was published; run it again when nobody writes to it")
