"""`manifest.json`: the description of a store. Only replacing it and committing in LMDB change what a reader sees."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from lateint_store.arguments import check_kind
from lateint_store.codecs.pipeline import Pipeline
from lateint_store.disk.files import open_regular, replace_file
from lateint_store.errors import DamagedStore, InputError, LateintError, SpecError, StoreError, StoreNotFound

MANIFEST_FILE = "manifest.json"
FORMAT, SET_FORMAT = "lateint store", "lateint store set"
FORMAT_VERSION = 1
WINDOW = 512
DOCUMENTS_PER_SHARD = 1_000_000
MAP_SIZE = 64 << 30
MAX_ARRAYS = 64
MAX_FILE_BYTES = 64 << 20
SHARD_NAME = "shard-{:04d}"
MAX_BYTES, MAX_MAP = 1 << 62, 1 << 46  # a process has 2**47 bytes of address space
_UUID = re.compile("[0-9a-f]{32}")


def is_uuid(value: object) -> bool:
    """True for 32 hexadecimal digits."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def is_shard_name(name: object) -> bool:
    """True for `shard-` and a number as a store writes it: at least four digits, none of them superfluous."""
    return isinstance(name, str) and re.fullmatch(r"shard-([0-9]{4}|[1-9][0-9]{4,8})", name) is not None


@dataclass(frozen=True, slots=True)
class ShardFile:
    """One shard folder. If sealed: size, structure digest and whole-file digest of its LMDB file.

    Raises: InputError for a folder outside of the store.
    """

    folder: str
    bytes: int = 0
    structure_digest: str = ""
    file_digest: str = ""

    def __post_init__(self) -> None:
        if not is_shard_name(self.folder):
            raise InputError(f"shard folder {self.folder!r}; expected a name such as 'shard-0000', in the store's own folder")
        _check_whole("bytes of a shard", self.bytes, 0, MAX_BYTES)
        for name in ("structure_digest", "file_digest"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"{name} {getattr(self, name)!r} of a shard; expected text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that is fixed when a store is created, and the list of its shard folders.

    `fingerprint`, the codecs in `specs`, `window` and `shard` are the store's identity: a build continues only if they
    are equal. `model`, `head` and `canary` are information for readers. `shard`: (i, n), the store holds the windows k
    with k % n == i of its source. Raises: InputError for impossible values.
    """

    uuid: str
    specs: Mapping[str, Pipeline]
    model: Mapping[str, Any]
    fingerprint: Mapping[str, Any]
    head: Mapping[str, Any] = field(default_factory=dict)
    canary: Mapping[str, Any] | None = None
    window: int = WINDOW
    shard: tuple[int, int] | None = None
    documents_per_shard: int = DOCUMENTS_PER_SHARD
    map_size: int = MAP_SIZE
    sealed: bool = False
    content_digest: str | None = None
    shards: tuple[ShardFile, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.specs or len(self.specs) > MAX_ARRAYS:
            raise InputError(f"a store has 1 to {MAX_ARRAYS} arrays, got {len(self.specs)}")
        for name in self.specs:
            if not isinstance(name, str) or not name.isidentifier():
                raise InputError(f"array name {name!r} is not an identifier; expected a name such as 'states'")
        for name, most in (("window", MAX_BYTES), ("documents_per_shard", MAX_BYTES), ("map_size", MAX_MAP)):
            _check_whole(name, getattr(self, name), 1, most)
        if self.shard is not None:
            check_kind(self.shard, "shard", tuple | list, "a pair (i, n) with 0 <= i < n")
            for number in self.shard:
                _check_whole("shard", number, 0, MAX_BYTES)
            if len(self.shard) != 2 or self.shard[0] >= self.shard[1]:
                raise InputError(f"shard {'/'.join(map(str, self.shard))} is not i/n with 0 <= i < n")
        self._check_types()

    def _check_types(self) -> None:
        """Check the values that only a file can have wrong. Raises: InputError."""
        if not is_uuid(self.uuid):
            raise InputError(f"uuid {self.uuid!r}; expected 32 hexadecimal digits")
        for name in ("model", "fingerprint", "head", "versions", "canary"):
            held = getattr(self, name)
            if not isinstance(held, Mapping) and not (name == "canary" and held is None):
                raise InputError(f"{name} is {held!r}; expected an object")
        if not isinstance(self.sealed, bool):
            raise InputError(f"sealed is {self.sealed!r}; expected true or false")
        if not isinstance(self.content_digest, str | None):
            raise InputError(f"content_digest is {self.content_digest!r}; expected text or null")

    @property
    def arrays(self) -> tuple[str, ...]:
        """Array names, sorted: the order of a record's payloads."""
        return tuple(sorted(self.specs))

    def identity(self) -> dict[str, Any]:
        """Values that must be equal for a build to continue in this store, except the fingerprint."""
        return {
            "codecs": {name: self.specs[name].to_json() for name in self.arrays},
            "window": self.window,
            "shard": list(self.shard) if self.shard else None,
        }

    def fixed(self) -> dict[str, Any]:
        """Everything that never changes in the life of a store, JSON-able: not the shards, the seal, and what it digests."""
        changing = ("shards", "sealed", "content_digest")
        settings: dict[str, Any] = json.loads(json.dumps(self.to_json()))
        return {name: value for name, value in settings.items() if name not in changing}

    def plain(self, name: str) -> dict[str, Any]:
        """The mapping of this name after a round trip through JSON."""
        mapping: dict[str, Any] = json.loads(json.dumps(dict(getattr(self, name))))
        return mapping

    def to_json(self) -> dict[str, Any]:
        """The content of the file, without the digest."""
        data: dict[str, Any] = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        data["specs"] = self.identity()["codecs"]
        data["shard"] = self.identity()["shard"]
        data["shards"] = [{entry.name: getattr(shard, entry.name) for entry in fields(shard)} for shard in self.shards]
        data |= {"format": FORMAT, "format_version": FORMAT_VERSION, "min_reader_version": FORMAT_VERSION}
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """The inverse of `to_json`."""
        known = {entry.name: data[entry.name] for entry in fields(cls)}
        known["specs"] = {name: Pipeline.from_json(spec) for name, spec in data["specs"].items()}
        known["shard"] = None if data["shard"] is None else tuple(data["shard"])
        if not isinstance(data["shards"], list) or not data["shards"]:
            raise InputError(f"shards is {data['shards']!r}; expected a list of at least one shard")
        known["shards"] = tuple(ShardFile(**shard) for shard in data["shards"])
        return cls(**known)


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    """Raise InputError unless a value is a whole number of least..most."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        kind = "positive whole number" if least else "whole number of at least 0"
        raise InputError(f"{name}={value!r} is not a {kind} up to {most}")


def write_manifest(store: Path, manifest: Manifest) -> None:
    """Replace the manifest of a store atomically; a sealed one is read-only. Raises: InputError if JSON cannot hold it."""
    try:
        write_description(store, manifest.to_json(), 0o444 if manifest.sealed else 0o644)
    except (TypeError, ValueError) as error:
        raise InputError(f"a store's model, fingerprint, head and canary must be JSON: {error}") from error


def write_description(folder: Path, data: Mapping[str, Any], mode: int = 0o644) -> None:
    """Replace the manifest of a store or a set atomically. Raises: TypeError, ValueError if JSON cannot hold it."""
    replace_file(folder / MANIFEST_FILE, _canonical({**data, "digest": _digest(data)}).encode(), mode)


def read_description(folder: Path) -> dict[str, Any]:
    """Read the manifest of a store or a set and compare its digest. Raises: StoreNotFound, DamagedStore."""
    try:
        text = _read_bounded(folder / MANIFEST_FILE)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreNotFound(f"no store at {folder}: {folder / MANIFEST_FILE} does not exist") from error
    except OSError as error:
        raise StoreError(f"cannot read {folder / MANIFEST_FILE}: {error.strerror}") from error
    return parse_description(text, str(folder))


def parse_description(text: bytes, store: str) -> dict[str, Any]:
    """Read the bytes of a manifest and compare its digest. Raises: DamagedStore naming `store`."""
    try:
        data: dict[str, Any] = json.loads(text)
        if data.pop("digest") != _digest(data):
            raise ValueError("its digest does not match")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedStore(store, f"{MANIFEST_FILE}: {error}") from error
    return data


def read_manifest(store: Path) -> Manifest:
    """Read and check the manifest of a store.

    Raises: StoreNotFound; DamagedStore; StoreError for a set, and a format version or a codec that this reader does not know.
    """
    return parse_manifest(read_description(store), store)


def parse_manifest(data: dict[str, Any], store: Path | str) -> Manifest:
    """Check the content of a manifest. Raises: as `read_manifest`."""
    if data.get("format") == SET_FORMAT:
        raise StoreError(f"{store} is a set of stores, and this works on a single store: name one of its members")
    try:
        if data["format"] != FORMAT or data["min_reader_version"] > FORMAT_VERSION:
            raise StoreError(
                f"store {store} has format {data['format']!r}, version {data['format_version']}, which needs a reader of "
                f"version {data['min_reader_version']}; this one reads {FORMAT!r} up to {FORMAT_VERSION}: install a newer one"
            )
        return Manifest.from_json(data)
    except SpecError as error:
        raise StoreError(f"store {store} uses codecs that this version of lateint does not have: {error}") from error
    except StoreError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, LateintError) as error:
        raise DamagedStore(str(store), f"{MANIFEST_FILE}: {error}") from error


def _read_bounded(path: Path) -> bytes:
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        text = file.read(MAX_FILE_BYTES + 1)
    if len(text) > MAX_FILE_BYTES:
        raise DamagedStore(str(path.parent), f"{path.name} has more than {MAX_FILE_BYTES:,} bytes")
    return text


def _canonical(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=True)


def _digest(data: Mapping[str, Any]) -> str:
    """Digest of the canonical JSON of `data`, which has no `digest` entry."""
    return hashlib.blake2b(_canonical(data).encode(), digest_size=32).hexdigest()
