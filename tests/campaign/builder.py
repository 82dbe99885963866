"""The process that is killed: it finishes the work of its verb, then exits.

It sends one message when it starts, then the number of documents of each window before it encodes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from lateint_store import create_store, merge, open_store
from lateint_store.disk import killpoints
from lateint_store.format.manifest import MANIFEST_FILE
from tests.campaign.stores import DELETED
from tests.support.stores import ABOUT, entries, specs

DOCUMENTS, WINDOW, PER_SHARD = 1_280, 64, 512


def source_digest(position: int) -> str:
    """Digest of the source up to a position, as a build records it."""
    return hashlib.blake2b(f"the first {position} documents".encode(), digest_size=16).hexdigest()


def build(say: Callable[[int], None], path: Path, part: str = "") -> None:
    """Build a store, or continue; `part` is i/n."""
    shard = tuple(map(int, part.split("/"))) if part else None
    with create_store(path, specs(), **ABOUT, window=WINDOW, shard=shard, documents_per_shard=PER_SHARD) as store:
        begun = store.progress.source_position
        if begun and store.progress.source_digest != source_digest(begun):
            raise ValueError(f"{path}: the digest of the source up to {begun} is not the one that was stored")
        for start in range(begun, DOCUMENTS, WINDOW):
            mine = shard is None or start // WINDOW % shard[1] == shard[0]
            numbers = range(start, min(start + WINDOW, DOCUMENTS)) if mine else range(0)
            say(len(numbers))
            store.append(entries(numbers), min(start + WINDOW, DOCUMENTS), source_digest(start + WINDOW))


def delete(path: Path) -> None:
    """Delete the documents that are not deleted yet."""
    with open_store(path, write=True) as store:
        if there := [doc_id for doc_id in DELETED if doc_id in store]:
            store.delete(there)


def compact(path: Path) -> None:
    """Compact the store."""
    with open_store(path, write=True) as store:
        store.compact()


def seal(path: Path) -> None:
    """Seal the store unless it is sealed."""
    with open_store(path) as store:
        if store.sealed:
            return
    with open_store(path, write=True) as store:
        store.seal()


def merge_parts(path: Path, *parts: str) -> None:
    """Merge the parts unless the merged store exists."""
    if not (path / MANIFEST_FILE).exists():
        merge([Path(part) for part in parts], path).close()


VERBS = {"delete": delete, "compact": compact, "seal": seal, "merge": merge_parts}


def main(messages: Connection, verb: str, path: Path, more: tuple[str, ...], kill_at: str) -> None:
    """Run a verb, and be killed at `kill_at` if it passes there."""
    killpoints.arm(kill_at)
    messages.send(0)
    if verb == "build":
        build(messages.send, path, *more)
    else:
        VERBS[verb](path, *more)
