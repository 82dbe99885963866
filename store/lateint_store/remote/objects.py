"""The objects below one URL, through obstore; its errors become those of this package. Nothing else imports obstore."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lateint_store.disk.files import sync_file, sync_folder
from lateint_store.errors import (
    InputError,
    MissingExtra,
    RemoteDenied,
    RemoteError,
    RemoteUnreachable,
    StoreError,
    StoreFull,
    StoreNotFound,
)
from lateint_store.remote.urls import RemoteLocation, parse_url

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

PART = 8 << 20
"""Bytes of a part of an upload, and of a range of a download."""
RETRIES = 8
"""How often a request that failed on the way is sent again: over about 40 seconds."""
_MOST_PARTS = 9_000  # S3 takes 10,000
_process = 0  # that has used obstore first
_REASON = 400  # characters of a library's message

_NO_BUCKET = r"NoSuchBucket|ContainerNotFound|bucket does not exist"
# What the messages of obstore say, in this order; it has no type or code for these.
_MEANINGS = (
    (r"os error (28|122|27)\b|507 Insufficient|StorageFull|QuotaExceeded", StoreFull),
    (_NO_BUCKET, StoreNotFound),
    (r"os error (13|1|30)\b|AccessDenied|40[13] (Forbidden|Unauthorized)", RemoteDenied),
    (r"169\.254\.|metadata\.google|InstanceCredentials|MissingAccessKey|[Cc]redential", RemoteDenied),
    (r"error sending request|timed out|timeout|connection", RemoteUnreachable),
)
_STEPS: dict[type[StoreError], str] = {
    StoreFull: "there is no space left: free some and run it again; what was uploaded is kept",
    StoreNotFound: "the bucket does not exist: create it, or correct the URL",
    RemoteDenied: "no rights: set the credentials, for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ask for the rights",
    RemoteUnreachable: "it cannot be reached: check the network and the endpoint, for S3 AWS_ENDPOINT, and run it again",
    RemoteError: "run it again; what was transferred is kept",
}


class ObjectFolder:
    """The objects below a URL. Opening asks nothing of the storage.

    Credentials and endpoints come from the environment, as obstore reads them (AWS_*, GOOGLE_*, AZURE_*).
    Every method raises: RemoteDenied, RemoteUnreachable, StoreFull, StoreNotFound for a bucket that does not exist,
    RemoteError for the rest. Raises: InputError; MissingExtra without obstore.
    """

    def __init__(self, location: RemoteLocation | str) -> None:
        self.location = location if isinstance(location, RemoteLocation) else parse_url(location)
        with self._errors("open"):
            self._store, self._prefix = _open(self.location)

    def __str__(self) -> str:
        return str(self.location)

    def child(self, relative: str) -> ObjectFolder:
        """The folder at a relative path. Raises: InputError if it leads out of the bucket."""
        return ObjectFolder(self.location.joined(relative))

    def size(self, name: str) -> int | None:
        """Bytes of an object; None if there is none."""
        import obstore

        with self._errors("look up", name):
            try:
                return int(obstore.head(self._store, self._key(name))["size"])
            except FileNotFoundError as error:
                if re.search(_NO_BUCKET, str(error)):
                    raise
                return None

    def read(self, name: str, most: int) -> bytes | None:
        """The bytes of an object, and no more than `most` + 1 of them; None if there is none."""
        size = self.size(name)
        return None if size is None else self.read_range(name, 0, min(size, most + 1))

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of an object; fewer if it ends before."""
        import obstore

        if start >= end:
            return b""
        with self._errors("read", name):
            return bytes(obstore.get_range(self._store, self._key(name), start=start, end=end))

    def put_once(self, name: str, data: bytes) -> bool:
        """Write an object unless one is there, as one step. Returns: False if there is one."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._errors("write", name):
            try:
                obstore.put(self._store, self._key(name), data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        self._sync(name)
        return True

    def upload(self, name: str, parts: Iterator[bytes], size: int) -> None:
        """Write an object of `size` bytes from parts; it appears whole at the end, or not at all if `parts` raises."""
        import obstore

        chunk = part_size(size)
        with self._errors("write", name):
            if size <= chunk:
                obstore.put(self._store, self._key(name), b"".join(parts), use_multipart=False)
            else:
                obstore.put(self._store, self._key(name), parts, use_multipart=True, chunk_size=chunk, max_concurrency=4)
        self._sync(name)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _sync(self, name: str) -> None:
        """Make an object in a local folder durable: obstore renames files without it."""
        if self.location.scheme == "file":
            path = Path("/" + self._key(name))
            with self._errors("write", name):
                sync_file(path)
                for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
                    with suppress(PermissionError):  # a folder that may be entered but not read
                        sync_folder(folder)

    @contextmanager
    def _errors(self, action: str, name: str = "") -> Iterator[None]:
        _check_process(self.location)
        try:
            yield
        except ImportError as error:
            raise MissingExtra("obstore", "remote") from error
        except StoreError:
            raise
        except (OSError, ValueError) as error:
            raise _meant(f"{self.location}/{name}" if name else str(self.location), action, error) from error
        except Exception as error:
            from obstore.exceptions import BaseError

            if not isinstance(error, BaseError):
                raise
            raise _meant(f"{self.location}/{name}" if name else str(self.location), action, error) from error


def _check_process(location: RemoteLocation) -> None:
    """Refuse a process that was forked from one that used object storage: obstore's threads are not there, and it would hang.

    Raises: RemoteError.
    """
    global _process
    _process = _process or os.getpid()
    if _process != os.getpid():
        raise RemoteError(
            f"cannot read or write {location} in this process, because it was forked from one that used object storage before; "
            "fetch the store before the fork, or start processes by spawn or forkserver"
        )


def part_size(size: int) -> int:
    """Bytes of each part of an upload of `size` bytes."""
    return max(PART, -(-size // _MOST_PARTS))


def _open(location: RemoteLocation) -> tuple[ObjectStore, str]:
    """The store of a location and the prefix of its objects there."""
    from obstore.store import LocalStore, from_url

    if location.scheme == "file":
        return LocalStore(), location.key
    if location.scheme == "memory":
        return _memory(), f"{location.root.partition('://')[2]}/{location.key}"
    retries: RetryConfig = {"max_retries": RETRIES, "retry_timeout": timedelta(minutes=3)}
    return from_url(str(location), retry_config=retries), ""


@cache
def _memory() -> ObjectStore:
    """The objects of this process, below `memory://`."""
    from obstore.store import MemoryStore

    return MemoryStore()


def _meant(url: str, action: str, error: Exception) -> InputError | StoreError:
    """The error of this package for one of obstore."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    reason = re.sub(r"\s+", " ", str(error).partition("\n\nDebug source")[0])[:_REASON]
    if "Unable to recognise URL" in reason or isinstance(error, ValueError):
        return InputError(f"{url}: {reason}; expected a URL such as s3://bucket/path/name or file:///folder/name")
    kind: type[StoreError] = next((kind for pattern, kind in _MEANINGS if re.search(pattern, reason)), RemoteError)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError):
        kind = RemoteDenied
    return kind(f"cannot {action} {url}: {reason}; {_STEPS[kind]}")
