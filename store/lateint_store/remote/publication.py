"""`publication.json`: what a published store or set consists of. It is written last, once, and read with distrust."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from lateint_store.errors import DamagedPublication, InputError, LateintError, StoreError, StoreNotFound
from lateint_store.format.content_digest import Content, joined_digest
from lateint_store.format.manifest import MANIFEST_FILE, MAX_BYTES, Manifest, is_shard_name, is_uuid
from lateint_store.format.set_manifest import MAX_MEMBERS, SPLITS
from lateint_store.format.state import SourceProgress
from lateint_store.remote.objects import ObjectFolder

PUBLICATION_FILE = "publication.json"
FORMAT = "lateint publication"
VERSION = 1
MOST_BYTES = 64 << 20
MOST_FILES = 1 << 17
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a store. `path`: in its folder; `sha256`: of its bytes, which also name its object. Raises: InputError."""

    path: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        folder, _, data = str(self.path).rpartition("/")
        if self.path not in (MANIFEST_FILE, INDEX_PATH) and not (is_shard_name(folder) and data == "data.mdb"):
            raise InputError(f"file {self.path!r}; expected {MANIFEST_FILE} or such as shard-0000/data.mdb")
        _check_whole(f"bytes of {self.path}", self.bytes, MAX_BYTES)
        _check_digest(f"sha256 of {self.path}", self.sha256)

    @property
    def object(self) -> str:
        """The name of the object with its bytes, below the URL of the store."""
        return f"files/{self.sha256}"


INDEX_PATH = "ids"
"""Path of the id index, which belongs to no folder: 12-byte entries of all shards, for `publish_set`."""


@dataclass(frozen=True, slots=True)
class RemoteMember:
    """A published store of a set. `path`: from the URL of the set to its own; `digest`: of its publication."""

    path: str
    uuid: str
    content_digest: str
    documents: int
    digest: str

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not 0 < len(self.path) <= 4096 or self.path.startswith("/"):
            raise InputError(f"path {self.path!r} of a member; expected one that is relative to the URL of the set")
        if not is_uuid(self.uuid):
            raise InputError(f"uuid {self.uuid!r} of member {self.path}; expected 32 hexadecimal digits")
        _check_digest(f"content digest of member {self.path}", self.content_digest)
        _check_digest(f"digest of member {self.path}", self.digest)
        _check_whole(f"documents of member {self.path}", self.documents, MAX_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A published store or set. Raises: InputError for impossible values.

    `identity`: digest of fingerprint, codecs, window and shard. `source`: how far a store has read its source. A store has
    `files` and `index`; a set has `members` and `split`.
    """

    kind: str
    uuid: str
    documents: int
    content: Content
    identity: str
    source: SourceProgress = field(default_factory=SourceProgress)
    shard: tuple[int, int] | None = None
    files: tuple[RemoteFile, ...] = ()
    index: RemoteFile | None = None
    members: tuple[RemoteMember, ...] = ()
    split: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("store", "set") or not is_uuid(self.uuid) or self.split not in SPLITS:
            raise InputError(f"kind {self.kind!r}, uuid {self.uuid!r}, split {self.split!r}; expected a store or a set")
        _check_whole("documents", self.documents, MAX_BYTES)
        _check_digest("identity", self.identity)
        for name, most in (("files", MOST_FILES), ("members", MAX_MEMBERS)):
            if len(getattr(self, name)) > most:
                raise InputError(f"it has {len(getattr(self, name))} {name}; expected at most {most}")
        paths = [file.path for file in self.files]
        whole = self.index is not None and self.index.path == INDEX_PATH and paths[:1] == [MANIFEST_FILE] and len(paths) > 1
        if self.kind == "store" and (not whole or INDEX_PATH in paths or self.members or len(set(paths)) < len(paths)):
            raise InputError(f"a store has {MANIFEST_FILE}, then its shards, each once, and its id index; got {paths[:5]}")
        uuids = {member.uuid for member in self.members}
        if self.kind == "set" and (self.files or not self.members or len(uuids) < len(self.members)):
            raise InputError("a set has members, each once, and no files of its own")

    @property
    def content_digest(self) -> str:
        """The content digest that the opened store has."""
        return joined_digest([self.content])

    @property
    def total_bytes(self) -> int:
        """Bytes of the files of a store; 0 for a set."""
        return sum(file.bytes for file in self.files)

    @property
    def digest(self) -> str:
        """Digest of all this, which pins every byte of the store."""
        return hashlib.blake2b(_canonical(self.to_json()), digest_size=32).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The content of the file, without its digest."""
        about = {"format": FORMAT, "format_version": VERSION, "min_reader_version": VERSION}
        derived = {"content": self.content.to_json(), "content_digest": self.content_digest}
        listed = {"files": [asdict(file) for file in self.files], "members": [asdict(member) for member in self.members]}
        return about | {entry.name: _plain(getattr(self, entry.name)) for entry in fields(self)} | derived | listed

    def to_bytes(self) -> bytes:
        """The file."""
        return _canonical({**self.to_json(), "digest": self.digest})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Publication:
        """The inverse of `to_json`."""
        known = {entry.name: data[entry.name] for entry in fields(cls)}
        known["content"] = Content.from_json(data["content"])
        known["source"] = SourceProgress(**data["source"])
        known["shard"] = None if data["shard"] is None else (int(data["shard"][0]), int(data["shard"][1]))
        known["files"] = tuple(RemoteFile(**file) for file in data["files"])
        known["index"] = None if data["index"] is None else RemoteFile(**data["index"])
        known["members"] = tuple(RemoteMember(**member) for member in data["members"])
        return cls(**known)

    def is_same(self, other: Publication) -> bool:
        """True for a publication of the same content in the same form, perhaps of another build: uuids and files may differ."""
        mine, theirs = ((each.kind, each.content_digest, each.identity, each.split) for each in (self, other))
        return mine == theirs


def identity_of(manifest: Manifest) -> str:
    """Digest of everything that must be equal for two stores to be one build, beside their documents."""
    about = {"fingerprint": manifest.plain("fingerprint"), "layout": json.loads(json.dumps(manifest.identity()))}
    return hashlib.blake2b(_canonical(about), digest_size=32).hexdigest()


def joined_identity(identities: list[str]) -> str:
    """The identity of a set, from those of its members in order."""
    return hashlib.blake2b(_canonical(identities), digest_size=32).hexdigest()


def find_publication(place: ObjectFolder) -> Publication | None:
    """Read what is published at a URL; None if nothing is. Cost: two small requests.

    Raises: DamagedPublication; StoreError for a version that this reader does not know; as `ObjectFolder`.
    """
    text = place.read(PUBLICATION_FILE, MOST_BYTES)
    if text is None:
        return None
    try:
        if len(text) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        data = json.loads(text)
        given = data.pop("digest")
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r:.60}; expected {FORMAT!r}")
        if data["min_reader_version"] > VERSION:
            raise StoreError(
                f"{place}/{PUBLICATION_FILE} needs a reader of version {data['min_reader_version']}; install a newer one"
            )
        found = Publication.from_json(data)
        if given != found.digest or data != json.loads(_canonical(found.to_json())):
            raise ValueError("its digest does not match")
        return found
    except StoreError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, LateintError) as error:
        raise DamagedPublication(str(place), f"object {PUBLICATION_FILE}: {error}") from error


def required_publication(place: ObjectFolder) -> Publication:
    """`find_publication`. Raises: StoreNotFound if nothing is published."""
    found = find_publication(place)
    if found is None:
        raise StoreNotFound(
            f"no store is published at {place}: there is no {PUBLICATION_FILE}; `lateint store publish STORE {place}` makes one"
        )
    return found


def published_member(place: ObjectFolder, member: RemoteMember) -> tuple[ObjectFolder, Publication]:
    """Where a member of the set at `place` is published, and as what.

    Raises: DamagedPublication if another store is there, or none, or if its path leads out of the bucket.
    """
    try:
        source = place.child(member.path)
    except InputError as error:
        raise DamagedPublication(str(place), f"member {member.path}: {error}") from error
    there = find_publication(source)
    if there is None or there.digest != member.digest or there.kind != "store":
        held = "nothing is published" if there is None else f"another store [{there.content_digest[:12]}] is published"
        raise DamagedPublication(str(place), f"member {member.path} [{member.content_digest[:12]}]: {held} there")
    return source, there


def _plain(value: object) -> object:
    return asdict(value) if isinstance(value, SourceProgress | RemoteFile) else value


def _canonical(data: object) -> bytes:
    return json.dumps(data, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=True).encode()


def _check_whole(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise InputError(f"{name} is {value!r:.60}; expected a whole number of at least 0")


def _check_digest(name: str, value: object) -> None:
    if not isinstance(value, str) or _DIGEST.fullmatch(value) is None:
        raise InputError(f"{name} is {value!r:.60}; expected 64 hexadecimal digits")
