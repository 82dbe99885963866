"""One transaction on one shard: look up ids, read records, check all that is read."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import lmdb
import numpy as np
import numpy.typing as npt

from lateint_store.codecs.codec import Buffer
from lateint_store.disk.environment import Environment
from lateint_store.disk.location import Location
from lateint_store.format import index, state
from lateint_store.format.block import Block, BlockError, BlockFormat, RecordHeader
from lateint_store.format.index import INDEX_KEY, PREFIX_SIZE, entry_ordinal, id_prefix
from lateint_store.format.record_batch import Blocks
from lateint_store.format.state import State

_LOWEST = bytes(index.ENTRY_SIZE - PREFIX_SIZE)
_KEY = struct.Struct(">Q")
_BEYOND = index.MAX_ORDINAL + 1


class Snapshot:
    """A shard as of one transaction. Blocks are views, valid as long as the transaction."""

    def __init__(
        self, environment: Environment, location: Location, format: BlockFormat, transaction: lmdb.Transaction
    ) -> None:
        self.environment = environment
        self.location = location
        self.format = format
        self.transaction = transaction
        databases = environment.databases
        self._ids = transaction.cursor(databases["ids"])
        self._blocks = transaction.cursor(databases["blocks"])
        self._block: Block | None = None
        self.owned: tuple[int, int] | None = None  # of a set that is split by id: the range of the id hash in this shard

    def state(self) -> State:
        """The state record. Raises: DamagedStore."""
        data = self.transaction.get(state.STATE_KEY, db=self.environment.databases["state"])
        try:
            if data is None:
                raise ValueError("the state record is missing")
            return State.from_bytes(bytes(data), self.format.uuid)
        except (ValueError, KeyError, TypeError) as error:
            raise self.location.damaged(f"{error}") from error

    def notes(self) -> dict[bytes, bytes]:
        """The notes on changes that take several transactions, by key."""
        held = {key: self.transaction.get(key, db=self.environment.databases["state"]) for key in state.NOTES}
        return {key: bytes(note) for key, note in held.items() if note is not None}

    def lookup(self, doc_id: bytes) -> int | None:
        """The first ordinal in the index for an id. Almost always the right one; the id in the record decides."""
        prefix = id_prefix(doc_id)
        if self._ids.set_range_dup(INDEX_KEY, prefix + _LOWEST):
            entry = bytes(self._ids.value())
            if entry.startswith(prefix):
                return entry_ordinal(entry)
        return None

    def lookup_all(self, prefixes: Sequence[bytes]) -> npt.NDArray[np.int64]:
        """`lookup` for the digest prefixes of many ids: int64 [k], -1 if the index has none. Fastest if they are sorted."""
        seek, value, none = self._ids.set_range_dup, self._ids.value, bytes(index.ENTRY_SIZE)
        entries = [value() if seek(INDEX_KEY, prefix + _LOWEST) else none for prefix in prefixes]
        if wrong := set(map(len, entries)) - {index.ENTRY_SIZE}:
            raise self.location.damaged(f"an entry of the id index has {min(wrong)} bytes")
        return index.named_ordinals(b"".join(entries), b"".join(prefixes))

    def find(self, doc_id: bytes) -> tuple[int, RecordHeader] | None:
        """Ordinal and record header of a live document, or None. Tries all entries with the prefix of its digest."""
        for ordinal in self.ordinals(doc_id):
            header = self.record_header(ordinal)
            if header.doc_id == doc_id:
                return ordinal, header
        return None

    def ordinals(self, doc_id: bytes) -> Iterator[int]:
        """Yield every ordinal in the index under the prefix of an id's digest; nothing may change in between."""
        ordinal, prefix = self.lookup(doc_id), id_prefix(doc_id)
        while ordinal is not None:
            yield ordinal
            entry = bytes(self._ids.value()) if self._ids.next_dup() else b""
            ordinal = entry_ordinal(entry) if entry.startswith(prefix) else None

    def block(self, ordinal: int) -> Block:
        """The block that holds an ordinal. Raises: DamagedStore."""
        block = self._block
        if block is not None and block.first <= ordinal < block.first + block.count:
            return block
        key = _KEY.pack(ordinal)
        if not self._blocks.set_range(key):
            more = self._blocks.last()
        else:
            more = self._blocks.key() == key or self._blocks.prev()
        if more:
            block = self._open_block()
            if block.first <= ordinal < block.first + block.count:
                return block
        raise self.location.damaged("no block holds this ordinal", ordinal)

    def locate(self, ordinals: npt.NDArray[np.int64]) -> tuple[Blocks, npt.NDArray[np.int64]]:
        """The unchecked blocks that hold k sorted ordinals, and the index of each ordinal's block: int64 [k].

        Cost: one look-up per block. Raises: DamagedStore.
        """
        seek, back, key, value = self._blocks.set_range, self._blocks.prev, self._blocks.key, self._blocks.value
        keys: list[Buffer] = []
        views: list[Buffer] = []
        wanted: list[int] = ordinals.tolist()
        starts: list[int] = []
        start = 0
        while start < len(wanted):
            ordinal = wanted[start]
            more = seek(_KEY.pack(ordinal + 1))
            end = int.from_bytes(key(), "big") if more else _BEYOND  # first ordinal of the next block; touches no more pages
            if not (back() if more else self._blocks.last()):
                raise self.location.damaged("no block holds this ordinal", ordinal)
            keys.append(key())
            views.append(value())
            starts.append(start)
            start = bisect_left(wanted, end, start + 1)
        return Blocks(keys, views), np.repeat(np.arange(len(starts)), np.diff([*starts, len(wanted)]))

    def record_header(self, ordinal: int) -> RecordHeader:
        """The record header of a document. Raises: DamagedStore."""
        try:
            return self.block(ordinal).record_header(ordinal)
        except BlockError as error:
            raise self.location.damaged(str(error), ordinal) from error

    def payloads(self, ordinal: int, header: RecordHeader, columns: Sequence[int]) -> list[bytes]:
        """Copy the payloads of the arrays number `columns` of a document. Raises: DamagedStore."""
        try:
            return self.block(ordinal).payloads(header, columns)
        except BlockError as error:
            raise self.location.damaged(str(error), ordinal, header.doc_id.decode(errors="replace")) from error

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """Yield all blocks from key `start` on, in order; each is valid until the next one."""
        more = self._blocks.set_range(_KEY.pack(start))
        while more:
            yield self._open_block()
            more = self._blocks.next()

    def block_ordinals(self, start: int = 0) -> Iterator[int]:
        """Yield the keys of the blocks from `start` on, without reading the blocks. Raises: DamagedStore for a bad key."""
        cursor = self.transaction.cursor(self.environment.databases["blocks"])
        more = cursor.set_range(_KEY.pack(start))
        while more:
            key = bytes(cursor.key())
            if len(key) != _KEY.size:
                raise self.location.damaged(f"a block's key has {len(key)} bytes")
            yield int(_KEY.unpack(key)[0])
            more = cursor.next()

    def entries(self, database: str) -> bytes:
        """All 12-byte entries of the database `ids` or `deleted`, in order, joined."""
        cursor = self.transaction.cursor(self.environment.databases[database])
        rows = cursor.getmulti([INDEX_KEY], dupdata=True, dupfixed_bytes=index.ENTRY_SIZE, keyfixed=True)
        table = np.frombuffer(rows, np.uint8).reshape(-1, len(INDEX_KEY) + index.ENTRY_SIZE)
        return table[:, len(INDEX_KEY) :].tobytes()

    def outer_entries(self) -> list[bytes]:
        """The first and the last entry of the id index; none if it is empty."""
        return [bytes(self._ids.value()) for move in (self._ids.first, self._ids.last) if move()]

    def deleted(self) -> npt.NDArray[np.int64]:
        """Ordinals of deleted documents, sorted. Raises: DamagedStore if their digest does not match."""
        entries = self.entries("deleted")
        if index.entries_digest(entries) != self.state().deleted:
            raise self.location.damaged("the list of deleted documents does not match its digest")
        return index.entry_ordinals(entries)

    def check_index(self) -> None:
        """Tell a missing document from a damaged index: compare its digest, once per transaction. Raises: DamagedStore."""
        number = self.transaction.id()
        if self.environment.index_checked == number:
            return
        if index.entries_digest(self.entries("ids")) != self.state().index:
            raise self.location.damaged("the id index does not match its digest")
        self.environment.index_checked = number

    def _open_block(self) -> Block:
        key = self._blocks.key()
        try:
            if len(key) != _KEY.size:
                raise BlockError(f"a block's key has {len(key)} bytes")
            self._block = self.format.open(memoryview(self._blocks.value()), _KEY.unpack(key)[0])
        except BlockError as error:
            ordinal = _KEY.unpack(key)[0] if len(key) == _KEY.size else None
            raise self.location.damaged(str(error), ordinal) from error
        return self._block
