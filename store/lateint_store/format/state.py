"""The state record: a shard's counters and digests and the progress in its source, written with its documents."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from lateint_store.format.content_digest import Content

STATE_KEY = b"state"
ADDING, DELETING, FINISHED = NOTES = (b"adding", b"deleting", b"finished")  # keys of notes on a change of several transactions
_DIGEST_SIZE = 16


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """How far a source was read: position (in documents), running digest, documents and windows written."""

    source_position: int = 0
    source_digest: str = ""
    documents: int = 0
    windows: int = 0


@dataclass(frozen=True, slots=True)
class AddProgress:
    """What an `add` of texts has committed: the first `documents` of its list, and their running digest."""

    documents: int
    digest: str

    def to_bytes(self) -> bytes:
        """JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> AddProgress | None:
        """The inverse of `to_bytes`; None for damage, as then no text is known to have been added."""
        try:
            found = cls(**json.loads(data))
        except (ValueError, TypeError):
            return None
        return found if isinstance(found.documents, int) and isinstance(found.digest, str) else None


@dataclass(frozen=True, slots=True)
class State:
    """Counters and digests of one shard; `progress` and `last_run` are those of the whole store at that time.

    Ordinals of the shard: [first, end). `live` of them are not deleted, with `tokens` rows in total.
    `index` and `deleted`: digests of the two sets of index entries. `window`: number of the last window.
    """

    first: int = 0
    end: int = 0
    live: int = 0
    tokens: int = 0
    index: int = 0
    deleted: int = 0
    window: int = -1
    last_run: int = 0
    content: Content = field(default_factory=Content)
    progress: SourceProgress = field(default_factory=SourceProgress)

    def following(self) -> State:
        """The initial state of the next shard."""
        return State(self.end, self.end, window=self.window, last_run=self.last_run, progress=self.progress)

    def to_bytes(self, uuid: bytes) -> bytes:
        """A digest of uuid and JSON, then the canonical JSON."""
        data = asdict(self) | {
            "index": f"{self.index:032x}",
            "deleted": f"{self.deleted:032x}",
            "content": self.content.to_json(),
        }
        body = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
        return _digest(uuid, body) + body

    @classmethod
    def from_bytes(cls, data: bytes, uuid: bytes) -> State:
        """The inverse of `to_bytes`. Raises: ValueError if the digest does not match."""
        body = data[_DIGEST_SIZE:]
        if data[:_DIGEST_SIZE] != _digest(uuid, body):
            raise ValueError("the digest of the state record does not match")
        fields: dict[str, Any] = json.loads(body)
        fields["index"] = int(fields["index"], 16)
        fields["deleted"] = int(fields["deleted"], 16)
        fields["content"] = Content.from_json(fields["content"])
        fields["progress"] = SourceProgress(**fields["progress"])
        return cls(**fields)


def _digest(uuid: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(uuid + body, digest_size=_DIGEST_SIZE).digest()
