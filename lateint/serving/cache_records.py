"""Records of a text cache in one transaction: read many, append, move what was used to the end, remove from the start.

A record is a block of the store's format with one document, whose id is the key of its text. Ordinals count uses: the lowest
is the least recently used record, so eviction takes neighbouring pages from one end and appending fills those of the other.
A block's window number holds how many arrays its record has, so that records of any model can be removed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lateint.errors import DamagedStore, StoreError
from lateint_store.codecs.codec import Buffer
from lateint_store.format.block import BLOCK_HEADER, BlockError, BlockFormat, EncodedDocument, RecordHeader
from lateint_store.format.index import INDEX_KEY, MAX_ORDINAL, PREFIX_SIZE, id_prefix, id_prefixes, make_entry
from lateint_store.format.manifest import MAX_ARRAYS
from lateint_store.format.record_batch import Blocks, RecordHeaders, copy_payloads, read_records
from lateint_store.format.record_kernels import Numbers, starts_of
from lateint_store.ragged import Payloads
from lateint_store.reading.fetch import Records, find_singly
from lateint_store.shards.snapshot import Snapshot

_LARGE = 4 << 20  # bytes that are not copied twice
_ORDINAL = struct.Struct(">Q")
_TREES = 16  # pages: roots, branches and the free list of an LMDB file, beside the two trees that are counted
_YOUNG = 8  # a record among the newest eighth is not moved: writing it again would change little


@dataclass(frozen=True, slots=True, eq=False)
class CachedRecords:
    """The sound records among those asked for.

    `positions`: indices into the keys asked for, int64 [k]; `rows`: tokens, int64 [k]; `payloads`: by array name, of k
    records in the order of `positions`. `aged`: keys of records that this use should move; `damaged`: keys of records that
    are not sound.
    """

    positions: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    payloads: Mapping[str, Payloads]
    aged: list[bytes]
    damaged: list[bytes]


def read_cached(snapshot: Snapshot, keys: Sequence[bytes], arrays: Sequence[str]) -> CachedRecords:
    """Copy the arrays (names in the order of a record's payloads) of all keys whose record is there and sound."""
    found, damaged = _find(snapshot, keys)
    positions = np.concatenate([records.positions for records in found])
    ordinals = np.concatenate([records.ordinals for records in found])
    aged = [keys[index] for index in positions[ordinals < _young_from(snapshot, _end(snapshot))].tolist()]
    order = np.argsort(positions)
    positions, rows = positions[order], np.concatenate([records.headers.rows for records in found])[order]
    copied = [copy_payloads(len(order), [records.source(column) for records in found], order) for column in range(len(arrays))]
    sound = np.logical_and.reduce([same for _, same in copied])
    if sound.all():
        payloads = {name: data for name, (data, _) in zip(arrays, copied, strict=True)}
        return CachedRecords(positions, rows, payloads, aged, damaged)
    kept = np.flatnonzero(sound).tolist()
    payloads = {name: Payloads.join([data[index] for index in kept]) for name, (data, _) in zip(arrays, copied, strict=True)}
    damaged += [keys[index] for index in positions[~sound].tolist()]
    return CachedRecords(positions[sound], rows[sound], payloads, aged, damaged)


def _end(snapshot: Snapshot) -> int:
    """The ordinal of the next record."""
    cursor = snapshot.transaction.cursor(snapshot.environment.databases["blocks"])
    if not cursor.last():
        return 0
    if len(cursor.key()) != _ORDINAL.size:
        raise snapshot.location.damaged(f"a record's key has {len(cursor.key())} bytes")
    return int(_ORDINAL.unpack(cursor.key())[0]) + 1


def _young_from(snapshot: Snapshot, end: int) -> int:
    """The first ordinal that need not move to the end when it is used."""
    entries: int = snapshot.transaction.stat(snapshot.environment.databases["blocks"])["entries"]
    return end - max(1, entries // _YOUNG)


def _find(snapshot: Snapshot, keys: Sequence[bytes]) -> tuple[list[Records], list[bytes]]:
    """The records with sound headers, all but a few in one pass, and the keys whose record is damaged."""
    batch, doubtful = _find_batch(snapshot, keys)
    found, damaged = [batch], []
    for index in doubtful:  # another text may have the same prefix in the index
        try:
            found.append(find_singly(snapshot, keys, [index]))
        except DamagedStore:
            damaged.append(keys[index])
    return found, damaged


def _find_batch(snapshot: Snapshot, keys: Sequence[bytes]) -> tuple[Records, list[int]]:
    """The sound records of the first index entry of each key, and the indices of the keys to read again one by one."""
    prefixes = id_prefixes(keys)
    listed: list[int] = np.frombuffer(b"".join(prefixes), f"S{PREFIX_SIZE}").argsort().tolist()
    ordinals = snapshot.lookup_all([prefixes[index] for index in listed])
    order = np.argsort(ordinals, kind="stable")[np.count_nonzero(ordinals < 0) :]
    positions, ordinals = np.array(listed, np.int64)[order], ordinals[order]
    get, blocks = snapshot.transaction.get, snapshot.environment.databases["blocks"]
    places = [_ORDINAL.pack(ordinal) for ordinal in ordinals.tolist()]
    views = [get(place, b"", blocks) for place in places]  # no bytes: an index entry without a record
    joined = Copied(places, views) if sum(map(len, views)) < _LARGE else Blocks(places, views)
    owners = np.arange(len(views))
    doc_ids = [keys[index] for index in positions.tolist()]
    headers, sound = read_records(len(views), snapshot.format, joined, owners, ordinals, doc_ids)
    if not sound.all():
        headers = RecordHeaders(headers.rows[sound], headers.edges[sound], headers.checksums[sound])
    return Records(snapshot, positions[sound], ordinals[sound], joined, owners[sound], headers), positions[~sound].tolist()


class Copied(Blocks):
    """Blocks in one piece of memory: their addresses take one call in place of a thousand."""

    def __init__(self, keys: Sequence[Buffer], views: Sequence[Buffer]) -> None:
        self._joined = Payloads.join(views)
        super().__init__(keys, list(self._joined.views()))

    @property
    def addresses(self) -> Numbers:
        """Memory address of each block."""
        return self._joined.offsets[:-1] + starts_of([self._joined.data.data])


@dataclass(frozen=True, slots=True)
class Room:
    """How much a cache may hold and write at once, in bytes.

    LMDB writes no page in place, and uses a freed page again two transactions later. So transactions are small, and eight of
    them fit between `records`, the pages in use, and the whole map.
    """

    records: int
    transaction: int

    @classmethod
    def of(cls, map_size: int) -> Room:
        """A transaction writes a 32nd of the map, at most 8 MiB."""
        transaction = min(map_size // 32, 8 << 20)
        return cls(map_size - 8 * transaction, transaction)


class CacheEditor:
    """Changes the records of a cache inside one write transaction. `evicted`: records that it removed to make room."""

    def __init__(self, snapshot: Snapshot, room: Room) -> None:
        self._snapshot, self._room = snapshot, room
        databases = snapshot.environment.databases
        self._blocks, self._ids = databases["blocks"], databases["ids"]
        self._page: int = snapshot.transaction.stat(self._blocks)["psize"]
        self._end = _end(snapshot)
        self._bytes = self._changes = self.evicted = 0

    @property
    def is_full(self) -> bool:
        """True if this transaction has written as much as one should."""
        return self._bytes + min(2 * self._changes * self._page, self._size("ids")) >= self._room.transaction

    def make_room(self) -> bool:
        """Remove the least recently used records until a transaction fits. False if that takes another transaction."""
        while self._used() + self._room.transaction > self._room.records:
            if self.is_full or not self.evict():
                return False
        self._bytes = self._changes = 0
        return True

    def run(self, steps: Sequence[Callable[[CacheEditor], None]], done: int) -> int:
        """Run steps from number `done` on until the transaction has written enough. Return the number of the next one."""
        while done < len(steps) and not self.is_full:
            steps[done](self)
            done += 1
        return done

    def evict_some(self) -> None:
        """Remove as many records as one transaction should."""
        while not self.is_full and self.evict():
            pass

    def evict(self) -> bool:
        """Remove the least recently used record. False if there is none."""
        cursor = self._snapshot.transaction.cursor(self._blocks)
        if not cursor.first():
            return False
        key, value = bytes(cursor.key()), memoryview(cursor.value())
        owner = _owner(value, key)
        self._count(len(value))
        cursor.delete()
        if owner is not None:  # else its index entry stays until somebody asks for its text
            self._unlist(owner, _ORDINAL.unpack(key)[0])
        self.evicted += 1
        return True

    def append(self, document: EncodedDocument) -> None:
        """Add a record as the most recently used one, unless its key is there already."""
        if self._find(document.doc_id) is None:
            self._append(document)
        else:
            self.move(document.doc_id)

    def move(self, key: bytes) -> None:
        """Make a record the most recently used one, if it is still there."""
        found = self._find(key)
        if found is None or found[0] >= _young_from(self._snapshot, self._end):
            return
        ordinal, header = found
        try:
            payloads = self._snapshot.payloads(ordinal, header, range(self._snapshot.format.arrays))
        except DamagedStore:
            self._remove(key, ordinal)
            return
        self._remove(key, ordinal)
        self._append(EncodedDocument(key, header.rows, tuple(payloads), b""))

    def remove(self, key: bytes) -> None:
        """Remove the record of a key, and every damaged record under the same prefix in the index."""
        for ordinal in list(self._snapshot.ordinals(key)):
            try:
                owner = self._snapshot.record_header(ordinal).doc_id
            except DamagedStore:
                owner = b""
            if owner == key or id_prefix(owner) != id_prefix(key):
                self._remove(key, ordinal)

    def _find(self, key: bytes) -> tuple[int, RecordHeader] | None:
        try:
            return self._snapshot.find(key)
        except DamagedStore:
            self.remove(key)
            return None

    def _append(self, document: EncodedDocument) -> None:
        format, transaction = self._snapshot.format, self._snapshot.transaction
        if self._end > MAX_ORDINAL:
            raise StoreError(f"cache {self._snapshot.location.store} has counted {MAX_ORDINAL} uses; delete its folder")
        value = format.write([document], self._end, format.arrays)
        if not transaction.put(_ORDINAL.pack(self._end), value, append=True, db=self._blocks):
            raise self._snapshot.location.damaged("a record with a higher ordinal exists already", self._end)
        transaction.put(INDEX_KEY, make_entry(document.doc_id, self._end), dupdata=True, db=self._ids)
        self._end += 1
        self._count(len(value))

    def _remove(self, key: bytes, ordinal: int) -> None:
        self._snapshot.transaction.delete(_ORDINAL.pack(ordinal), db=self._blocks)
        self._unlist(key, ordinal)
        self._count(0)

    def _unlist(self, key: bytes, ordinal: int) -> None:
        self._snapshot.transaction.delete(INDEX_KEY, make_entry(key, ordinal), db=self._ids)

    def _count(self, size: int) -> None:
        self._bytes += size
        self._changes += 1

    def _used(self) -> int:
        return _TREES * self._page + self._size("blocks") + self._size("ids")

    def _size(self, database: str) -> int:
        """Bytes of the pages of a database."""
        stat = self._snapshot.transaction.stat(self._snapshot.environment.databases[database])
        return self._page * int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])


def _owner(value: memoryview, key: bytes) -> bytes | None:
    """The key of the text of a record of any model; None if it is damaged."""
    if len(value) < BLOCK_HEADER.size or len(key) != _ORDINAL.size:
        return None
    *_, uuid, arrays = BLOCK_HEADER.unpack_from(value)
    if not 1 <= arrays <= MAX_ARRAYS:
        return None
    (ordinal,) = _ORDINAL.unpack(key)
    try:
        return _format(uuid, arrays).open(value, ordinal).record_header(ordinal).doc_id
    except BlockError:
        return None


@lru_cache(maxsize=16)
def _format(uuid: bytes, arrays: int) -> BlockFormat:
    return BlockFormat(uuid, arrays)
