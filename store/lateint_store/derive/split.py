"""Split a store into a set by ranges of the id hash, so that the member which owns a document can be computed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from lateint_store.arguments import as_count, as_path, check_choice
from lateint_store.derive.new_store import write_store
from lateint_store.derive.publish import check_together, claimed, publish_set
from lateint_store.disk.files import read_regular, replace_file
from lateint_store.disk.location import lmdb_errors
from lateint_store.errors import StoreError, StoreMismatch
from lateint_store.format import index
from lateint_store.format.block import EncodedDocument
from lateint_store.format.content_digest import joined_digest
from lateint_store.format.manifest import MANIFEST_FILE
from lateint_store.format.set_manifest import MAX_MEMBERS, entry_owners
from lateint_store.format.state import State
from lateint_store.shards.set_shards import hash_range
from lateint_store.shards.shards import Shards
from lateint_store.shards.snapshot import Snapshot
from lateint_store.store.store import ADDED
from lateint_store.writing.records import read_encoded
from lateint_store.writing.rewrite import StoredWindow

PLAN_FILE = "split.json"
MEMBER_NAME = "member-{:04d}"
By = Literal["id", "document"]
Ordinals = npt.NDArray[np.int64]


def split(source: str | os.PathLike[str], out: str | os.PathLike[str], members: int, *, by: By = "id") -> None:
    """Copy a store into a set of `members` stores at the folder `out`; `owner_of` computes which of them owns a document.

    Each member owns one range of the hash of ids; with `by="document"`, of ids up to their last `#`, so that all chunks `id#k`
    of a document stay together. Codes are copied bit for bit, in the order of the source. Members are no shards of a build:
    documents are added through the set. After an interruption the same call continues with the first unfinished member.
    Raises: StoreError if something else is published at `out`; StoreMismatch if the source has changed since an interrupted
    call; StoreFull, DamagedStore. Cost: reads every document once.
    """
    folder, members = as_path(out, "out"), as_count(members, "members", most=MAX_MEMBERS)
    check_choice(by, "by", "id", "document")
    with closing(Shards(as_path(source, "source"))) as shards, shards.reading() as snapshots:
        states = [snapshot.state() for snapshot in snapshots]
        digest = joined_digest(state.content for state in states)
        plan = {"source": shards.manifest.uuid, "content_digest": digest, "members": members, "by": by}
        if not (_planned(folder) == plan and (folder / MANIFEST_FILE).exists()):  # killed when all was done
            with claimed(folder) as lock:
                _begin(folder, plan)
                _write_members(folder, shards, snapshots, members, by)
                with ExitStack() as stack:
                    places = [folder / MEMBER_NAME.format(number) for number in range(members)]
                    opened = [stack.enter_context(closing(Shards(place))) for place in places]
                    _check_complete(folder, states, opened)
                    publish_set(lock, check_together(folder, opened, by))
        (folder / PLAN_FILE).unlink()


def _planned(folder: Path) -> object:
    """The plan of the split that was begun in a folder; None if there is none."""
    try:
        return json.loads(read_regular(folder / PLAN_FILE))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {folder / PLAN_FILE}: {error}; remove {folder} and split again") from error


def _begin(folder: Path, plan: dict[str, object]) -> None:
    """Record what is split, or check that it is what was begun. Raises: StoreMismatch, StoreError."""
    begun = _planned(folder)
    if begun is None:
        if leftover := sorted(entry.name for entry in folder.glob("member-*")):
            raise StoreError(f"{folder} holds {leftover[0]!r}, which no split has begun there; choose another folder")
        replace_file(folder / PLAN_FILE, json.dumps(plan).encode())
    elif begun != plan:
        raise StoreMismatch(
            f"{folder} holds the beginning of another split, of another source, number of members, or before the source "
            f"changed ({begun} there, {plan} here): remove {folder} and split again"
        )


def _write_members(folder: Path, shards: Shards, snapshots: Sequence[Snapshot], members: int, by: By) -> None:
    """Write the members that are not finished."""
    owned = [_owners(snapshot, members, by) for snapshot in snapshots]
    for number in range(members):
        place = folder / MEMBER_NAME.format(number)
        if (place / MANIFEST_FILE).exists():
            continue
        mine = [ordinals[owners == number] for ordinals, owners in owned]
        size = shards.manifest.window
        windows = -(-sum(map(len, mine)) // size)
        state = State(window=ADDED + windows - 1) if windows else State()
        documents = _documents(shards, snapshots, mine)
        write_store(place, replace(shards.manifest, shard=None), _windows(documents, size), state).close()


def _owners(snapshot: Snapshot, members: int, by: By) -> tuple[Ordinals, Ordinals]:
    """The ordinals of the live documents of a shard, ascending, and the number of the member that owns each."""
    entries = np.frombuffer(snapshot.entries("ids"), np.uint8).reshape(-1, index.ENTRY_SIZE)
    padded = np.zeros((len(entries), 16), np.uint8)
    padded[:, 1:8], padded[:, 11:] = entries[:, : index.PREFIX_SIZE], entries[:, index.PREFIX_SIZE :]
    numbers = padded.view(">u8").astype(np.int64)
    order = np.argsort(numbers[:, 1])
    ordinals, hashes = numbers[order, 1], numbers[order, 0]
    if by == "id":
        starts = [hash_range(number, members)[0] for number in range(members)]
        return ordinals, np.searchsorted(starts, hashes, side="right") - 1
    ids = [snapshot.record_header(ordinal).doc_id for ordinal in ordinals.tolist()]
    return ordinals, np.array(entry_owners(ids, members, by), np.int64)


def _documents(shards: Shards, snapshots: Sequence[Snapshot], chosen: Sequence[Ordinals]) -> Iterator[EncodedDocument]:
    """Read the chosen documents of each shard. Raises: DamagedStore."""
    for snapshot, ordinals in zip(snapshots, chosen, strict=True):
        with lmdb_errors(snapshot.location):
            for ordinal in ordinals.tolist():
                yield read_encoded(snapshot, shards.manifest, ordinal)


def _windows(documents: Iterator[EncodedDocument], size: int) -> Iterator[StoredWindow]:
    """Gather documents in windows, numbered as those of documents without a source."""
    for number in count():
        if not (window := list(islice(documents, size))):
            return
        yield ADDED + number, window


def _check_complete(folder: Path, states: Sequence[State], members: Sequence[Shards]) -> None:
    """Compare the number of documents and of tokens. Raises: StoreError."""
    written = [state for shards in members for state in _states(shards)]
    totals = [(sum(state.live for state in each), sum(state.tokens for state in each)) for each in (states, written)]
    if totals[0] != totals[1]:
        raise StoreError(
            f"the members in {folder} hold {totals[1][0]} documents of {totals[1][1]} tokens, the source {totals[0][0]} of "
            f"{totals[0][1]}: a member was changed; remove {folder} and split again"
        )


def _states(shards: Shards) -> list[State]:
    with shards.reading() as snapshots:
        return [snapshot.state() for snapshot in snapshots]
