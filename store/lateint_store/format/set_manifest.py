"""`manifest.json` of a store set: the stores that open as one, and the rule by which they divide the documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lateint_store.arguments import as_count
from lateint_store.errors import DamagedStore, InputError, LateintError, StoreError
from lateint_store.format.ids import encode_all
from lateint_store.format.index import PREFIX_SIZE, id_prefixes
from lateint_store.format.manifest import SET_FORMAT, is_uuid, read_description, write_description

SET_VERSION = 1
MAX_MEMBERS = 1 << 16
SPLITS = (None, "id", "document")
"""How the members of a set divide the documents: by no rule; by the hash of the id; by that of the id before its last `#`."""
_BITS = 8 * PREFIX_SIZE


@dataclass(frozen=True, slots=True)
class Member:
    """One store of a set. `path`: relative to the set's folder; `content_digest`: if it was sealed when the set was published.

    Raises: InputError for impossible values.
    """

    path: str
    uuid: str
    content_digest: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path or PurePosixPath(self.path).is_absolute():
            raise InputError(f"path {self.path!r} of a member; expected one that is relative to the set's folder")
        if not is_uuid(self.uuid):
            raise InputError(f"uuid {self.uuid!r} of member {self.path}; expected 32 hexadecimal digits")
        if not isinstance(self.content_digest, str | None):
            raise InputError(f"content_digest {self.content_digest!r} of member {self.path}; expected text or null")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetManifest:
    """What a set consists of. Raises: InputError for impossible values, among them a member that is listed twice."""

    uuid: str
    members: tuple[Member, ...]
    split: str | None = None

    def __post_init__(self) -> None:
        if not is_uuid(self.uuid):
            raise InputError(f"uuid {self.uuid!r}; expected 32 hexadecimal digits")
        if self.split not in SPLITS:
            raise InputError(f"split {self.split!r}; expected 'id', 'document' or null")
        if not 1 <= len(self.members) <= MAX_MEMBERS:
            raise InputError(f"a set has 1 to {MAX_MEMBERS} members, got {len(self.members)}")
        first: dict[str, Member] = {}
        for member in self.members:
            if (before := first.setdefault(member.uuid, member)) is not member:
                raise InputError(f"members {before.path} and {member.path} are one store [{member.uuid[:12]}]; list each once")

    def owners(self, entry_ids: Sequence[bytes]) -> list[int]:
        """The number of the member that owns each entry (id in UTF-8), if the set is split."""
        return entry_owners(entry_ids, len(self.members), self.split)

    def to_json(self) -> dict[str, Any]:
        """The content of the file, without the digest."""
        about = {"format": SET_FORMAT, "format_version": SET_VERSION, "min_reader_version": SET_VERSION}
        return about | asdict(self) | {"members": [asdict(member) for member in self.members]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SetManifest:
        """The inverse of `to_json`."""
        members = tuple(Member(**member) for member in data["members"])
        return cls(uuid=data["uuid"], members=members, split=data["split"])


def owner_of(doc_id: str, members: int) -> int:
    """The number of the member that owns a document, 0 to `members` - 1, in a set that `split` made of so many.

    The first 7 bytes of blake2b(id), as a number below 2^56, times `members`, divided by 2^56, rounded down: each member owns
    one range of the hash. Raises: InputError.
    """
    return entry_owners(encode_all([doc_id]), as_count(members, "members", most=MAX_MEMBERS), "id")[0]


def entry_owners(entry_ids: Sequence[bytes], members: int, split: str | None) -> list[int]:
    """The number of the member that owns each entry, by one of the rules `SPLITS`."""
    if split == "document":
        entry_ids = [entry_id[: entry_id.rfind(b"#")] if b"#" in entry_id else entry_id for entry_id in entry_ids]
    return [int.from_bytes(prefix, "big") * members >> _BITS for prefix in id_prefixes(entry_ids)]


def write_set(folder: Path, manifest: SetManifest) -> None:
    """Replace the manifest of a set atomically."""
    write_description(folder, manifest.to_json())


def read_set(folder: Path) -> SetManifest | None:
    """Read and check the manifest of a set; None for a single store.

    Raises: StoreNotFound; DamagedStore; StoreError for a version that this reader does not know.
    """
    data = read_description(folder)
    if data.get("format") != SET_FORMAT:
        return None
    try:
        if data["min_reader_version"] > SET_VERSION:
            raise StoreError(
                f"store set {folder} has version {data['format_version']}, which needs a reader of version "
                f"{data['min_reader_version']}; this one reads sets up to {SET_VERSION}: install a newer one"
            )
        return SetManifest.from_json(data)
    except StoreError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, LateintError) as error:
        raise DamagedStore(str(folder), f"manifest.json: {error}") from error
