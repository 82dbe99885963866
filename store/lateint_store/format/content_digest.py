"""The content digest: equal for equal documents in equal order, however they are arranged on disk.

Each live document contributes blake2b(id of the live document before it, its own digest); contributions are added modulo
2**256. So the sum fixes the order, appends and deletes update it without reading the rest, and the sums of shards can be
joined: a shard keeps its inner sum, the digest of its first live document and the id of its last one.
It detects accidents; it is no defence against someone who constructs colliding documents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

MODULUS = 1 << 256
EMPTY_DIGEST = f"{0:064x}"


def document_digest(doc_id: bytes, arrays: Sequence[bytes]) -> bytes:
    """Digest of one document: its id and its arrays (in name order) after array codecs and layout, 16 bytes."""
    digest = hashlib.blake2b(digest_size=16, person=b"lateint document"[:16])
    for piece in (doc_id, *arrays):
        digest.update(len(piece).to_bytes(8, "little"))
        digest.update(piece)
    return digest.digest()


def link(before: str | None, document: bytes) -> int:
    """Contribution of a document digest whose live predecessor has the id `before` (None: it is the first)."""
    digest = hashlib.blake2b(document, digest_size=32, person=b"lateint link")
    digest.update(b"" if before is None else b"\1" + before.encode())
    return int.from_bytes(digest.digest(), "little")


@dataclass(frozen=True, slots=True)
class Content:
    """The content of one shard: digest of its first live document, id of its last, sum over all but the first."""

    first: bytes | None = None
    last: str | None = None
    inner: int = 0

    def append(self, doc_id: str, document: bytes) -> Content:
        """The content after appending a document."""
        if self.first is None:
            return Content(document, doc_id, 0)
        return Content(self.first, doc_id, (self.inner + link(self.last, document)) % MODULUS)

    def joined(self, following: Content) -> Content:
        """The content of these documents and those that follow; `joined_digest` is the same for parts and for their join."""
        if self.first is None or following.first is None:
            return following if self.first is None else self
        inner = self.inner + link(self.last, following.first) + following.inner
        return Content(self.first, following.last, inner % MODULUS)

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {"first": self.first.hex() if self.first else None, "last": self.last, "inner": f"{self.inner:064x}"}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Content:
        """The inverse of `to_json`."""
        first = bytes.fromhex(data["first"]) if data["first"] else None
        return cls(first, data["last"], int(data["inner"], 16))


def joined_digest(shards: Iterable[Content]) -> str:
    """The content digest of a store, 64 hex digits, from the contents of its shards in order."""
    total, last = 0, None
    for shard in shards:
        if shard.first is not None:
            total += link(last, shard.first) + shard.inner
            last = shard.last
    return f"{total % MODULUS:064x}"
