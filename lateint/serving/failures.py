"""What a client is told when its request fails: a status, a code, and a message that names no path of the server."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lateint.cluster.messages import ShardFailure
from lateint.errors import DamagedStore, InputError, MissingDocument, StoreError, StoreMismatch, StoreNotFound

log = logging.getLogger("lateint.serve")
_PATH = re.compile(r"(?<![\w.:/])(?:/[^\s/'\",;:]+){2,}/?")  # an absolute path of at least two names
_NAMED = 10  # ids that a message names
_SHOWN = 60  # characters of each
_LONGEST = 1_000  # characters of a message, which may quote what the client sent


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no ranking. `code`: one word for programs; `ids`: documents concerned; `retry_after`: seconds."""

    status: int
    code: str
    message: str
    ids: tuple[str, ...] = ()
    retry_after: int | None = None

    def __post_init__(self) -> None:
        if len(self.message) > _LONGEST:
            object.__setattr__(self, "message", self.message[:_LONGEST] + "...")


class Refused(Exception):
    """A request that ends with a `Failure`. It never leaves the service."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def invalid(message: str) -> Refused:
    """Return the refusal of a request that is wrong in itself."""
    return Refused(Failure(400, "invalid_request", message))


def too_large(message: str) -> Refused:
    """Return the refusal of a request that is over a limit."""
    return Refused(Failure(413, "too_large", message))


def unknown_ids(ids: list[str]) -> Refused:
    """Return the refusal of ids that the store lacks."""
    named = ", ".join(repr(doc_id if len(doc_id) <= _SHOWN else doc_id[:_SHOWN] + "...") for doc_id in ids[:_NAMED])
    named += ", ..." if len(ids) > _NAMED else ""
    return Refused(
        Failure(
            404,
            "not_found",
            f"{len(ids)} of the documents are not in the store: {named}; give their texts, or missing='skip'",
            tuple(ids[:_NAMED]),
        )
    )


def incomplete(failures: Sequence[ShardFailure]) -> Refused:
    """Return the refusal of a request that wants all candidates ranked, while the owners of some do not answer."""
    ids = [doc_id for failure in failures for doc_id in failure.ids]
    shards = "; ".join(f"shard {failure.shard}: {without_paths(failure.reason)}" for failure in failures)
    reason = f"{len(ids)} of the documents cannot be scored now ({shards}); try again, or send partial='allow'"
    return Refused(Failure(503, "partial", reason, tuple(ids[:_NAMED]), retry_after=1))


def overloaded(message: str, retry_after: int) -> Refused:
    """Return the refusal of a request that comes while too many wait."""
    return Refused(Failure(429, "overloaded", f"{message}; try again in {retry_after} s", retry_after=retry_after))


def failure_of(error: Exception) -> Failure:
    """Map any error of a request to what the client is told."""
    if isinstance(error, Refused):
        return error.failure
    if isinstance(error, InputError):
        return Failure(400, "invalid_request", without_paths(str(error)))
    if isinstance(error, MissingDocument):
        return Failure(404, "not_found", "a document was deleted from the store during the request; send it again")
    if isinstance(error, DamagedStore):
        known = "a document" if error.doc_id is None else f"document {error.doc_id!r}"
        ids = () if error.doc_id is None else (error.doc_id,)
        return Failure(503, "damaged", f"{known} cannot be read: its bytes in the store are damaged; leave it out", ids)
    if isinstance(error, StoreMismatch):
        return Failure(503, "unavailable", "the store, or a document in it, does not belong to the served model")
    if isinstance(error, StoreNotFound):
        return Failure(503, "unavailable", "the store is gone; put it back at its place")
    if isinstance(error, StoreError | OSError):
        return Failure(503, "unavailable", "the store cannot be read now")
    return Failure(500, "internal", "the service failed on this request; its log says why")


def without_paths(message: str) -> str:
    """Remove absolute paths from a message."""
    return _PATH.sub("<path>", message)
