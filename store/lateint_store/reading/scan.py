"""Read a whole store in order, page by page; no transaction stays open between pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from lateint_store.arguments import check_kind
from lateint_store.disk.location import lmdb_errors
from lateint_store.errors import StoreError
from lateint_store.ragged import Payloads
from lateint_store.reading.fetch import Fetched
from lateint_store.shards.shards import Shards
from lateint_store.shards.snapshot import Snapshot

PAGE_DOCUMENTS = 4096
PAGE_BYTES = 16 << 20


def scan(shards: Shards, columns: Mapping[str, int], *, stable: bool = False) -> Iterator[Fetched]:
    """Yield the live documents in order of their ordinals, with only the arrays of `columns` (name -> number).

    They are the documents that exist when the first page is read; one deleted meanwhile may or may not appear, and none
    appears twice. A page is one transaction: whole blocks, up to 4,096 documents or 16 MiB. A set is read member by member.
    Raises: DamagedStore; StoreError if a compaction renumbers the documents between two pages, and with `stable` if any
    are deleted.
    """
    check_kind(stable, "stable", bool, "True or False")
    marks = _marks(shards)
    for member, mark in zip(shards.members, marks, strict=True):
        yield from _scan_store(member, columns, mark, stable)
    if stable and len(marks) > 1:
        for before, now in zip(marks, _marks(shards), strict=False):
            _check_same(before, now, stable)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A store as it was: its shard folders, the digests of their deleted documents, the ordinal behind its last document."""

    path: Path
    folders: list[Path]
    deleted: list[int]
    end: int


def _marks(shards: Shards) -> list[_Mark]:
    """The marks of each member of a set, or of the one store."""
    with shards.reading() as snapshots:
        return [_mark(list(held)) for _, held in groupby(snapshots, key=lambda snapshot: snapshot.location.store)]


def _mark(snapshots: Sequence[Snapshot]) -> _Mark:
    states = [snapshot.state() for snapshot in snapshots]
    folders = [snapshot.location.folder for snapshot in snapshots]
    return _Mark(snapshots[0].location.store, folders, [state.deleted for state in states], states[-1].end)


def _check_same(before: _Mark, now: _Mark, stable: bool) -> None:
    """Raise StoreError if a store was rewritten since, or with `stable` if documents were deleted."""
    if now.folders[: len(before.folders)] != before.folders:
        raise StoreError(f"store {before.path} was compacted or sealed while it was scanned; scan it again")
    if stable and now.deleted[: len(before.deleted)] != before.deleted:
        raise StoreError(f"documents of store {before.path} were deleted while it was scanned; scan it again")


def _scan_store(shards: Shards, columns: Mapping[str, int], before: _Mark, stable: bool) -> Iterator[Fetched]:
    start = 0
    while start < before.end:
        page = _Page(columns)
        with shards.reading() as snapshots:
            _check_same(before, _mark(snapshots), stable)
            start = _fill(page, snapshots, start, before.end)
        if page.ids:
            yield page.fetched()


class _Page:
    """Collects the documents of one page."""

    def __init__(self, columns: Mapping[str, int]) -> None:
        self.numbers = tuple(columns.values())
        self.payloads: dict[str, list[bytes]] = {name: [] for name in columns}
        self.ids: list[str] = []
        self.ordinals: list[int] = []
        self.rows: list[int] = []
        self.size = 0

    @property
    def full(self) -> bool:
        """True if no further block should be added."""
        return len(self.ids) >= PAGE_DOCUMENTS or self.size >= PAGE_BYTES

    def put(self, snapshot: Snapshot, ordinal: int) -> None:
        header = snapshot.record_header(ordinal)
        payloads = snapshot.payloads(ordinal, header, self.numbers)
        self.ids.append(header.doc_id.decode())
        self.ordinals.append(ordinal)
        self.rows.append(header.rows)
        for pieces, payload in zip(self.payloads.values(), payloads, strict=True):
            pieces.append(payload)
        self.size += snapshot.format.record_header.size + len(header.doc_id) + sum(map(len, payloads))

    def fetched(self) -> Fetched:
        ordinals, rows = np.array(self.ordinals, np.int64), np.array(self.rows, np.int64)
        positions = np.arange(len(self.ids), dtype=np.int64)
        payloads = {name: Payloads.join(pieces) for name, pieces in self.payloads.items()}
        return Fetched(tuple(self.ids), positions, ordinals, rows, payloads, (), self.size)


def _fill(page: _Page, snapshots: Sequence[Snapshot], start: int, end: int) -> int:
    """Fill a page with the documents from ordinal `start` on; return the ordinal after the last one."""
    for snapshot in snapshots:
        with lmdb_errors(snapshot.location):
            last = min(snapshot.state().end, end)
            gone = set(snapshot.deleted().tolist()) if start < last else set()
            while start < last and not page.full:
                block = snapshot.block(start)
                start = block.first + block.count
                for ordinal in range(block.first, start):
                    if ordinal not in gone:
                        page.put(snapshot, ordinal)
    return start
