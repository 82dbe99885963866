"""URLs of published stores: how they are written, and how one is named relative to another."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from lateint_store.arguments import is_url, shown
from lateint_store.errors import InputError

_EXPECTED = "expected a URL such as s3://bucket/path/name or file:///folder/name"


@dataclass(frozen=True, slots=True)
class RemoteLocation:
    """A URL in parts. `root`: scheme and host or bucket; `path`: percent-encoded, without slashes at its ends."""

    scheme: str
    root: str
    path: str

    def __str__(self) -> str:
        return f"{self.root}/{self.path}" if self.path else self.root

    @property
    def key(self) -> str:
        """The path as objects are named: without percent-encoding."""
        return unquote(self.path)

    def joined(self, relative: str) -> RemoteLocation:
        """The location at a relative path, which may begin with `..`. Raises: InputError beyond the root."""
        path = posixpath.normpath(posixpath.join(self.path, relative))
        if path.startswith("..") or posixpath.isabs(relative):
            raise InputError(f"path {relative!r} leads out of {self.root} from {self}; expected one that stays inside")
        return RemoteLocation(self.scheme, self.root, "" if path == "." else path)

    def relative(self, other: RemoteLocation) -> str:
        """The path from here to another location. Raises: InputError if it has another root."""
        if other.root != self.root:
            raise InputError(f"{other} is not in {self.root}, where {self} is; publish both in one bucket")
        return posixpath.relpath("/" + other.path, "/" + self.path)


def parse_url(url: str) -> RemoteLocation:
    """Read the URL of a published store. Raises: InputError."""
    if not isinstance(url, str) or not is_url(url):
        raise InputError(f"url is {shown(url)}; {_EXPECTED}")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"url is {shown(url)}: {error}; {_EXPECTED}") from error
    if parts.query or parts.fragment or parts.username or parts.password:
        raise InputError(f"url is {shown(url)}, with a query, a fragment or a user; {_EXPECTED}")
    path = parts.path.removeprefix("/").rstrip("/")
    segments = unquote(path).split("/")
    if not path or any(segment in ("", ".", "..") or not segment.isprintable() for segment in segments):
        raise InputError(f"url is {shown(url)}, which names no folder of objects; {_EXPECTED}")
    if parts.scheme == "file" and parts.netloc:
        raise InputError(f"url is {shown(url)}; expected three slashes and an absolute path: file:///{parts.netloc}/{path}")
    return RemoteLocation(parts.scheme, f"{parts.scheme}://{parts.netloc}", path)
