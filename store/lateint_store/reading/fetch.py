"""Read documents by id. Many at once take one pass over the index, one over the blocks, then one over all record headers.

These passes detect a damaged record, but not the cause. Such a document is read again by itself (`Snapshot.find`, `payloads`):
that names the check that failed, or finds the right document if two ids share the prefix of their digests.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from lateint_store.arguments import as_list
from lateint_store.disk.location import lmdb_errors
from lateint_store.format.ids import encode_all
from lateint_store.format.index import PREFIX_SIZE, id_prefixes
from lateint_store.format.record_batch import Blocks, PayloadSource, RecordHeaders, copy_payloads, read_records
from lateint_store.format.record_kernels import Numbers
from lateint_store.ragged import Payloads
from lateint_store.shards.snapshot import Snapshot

MANY = 24
"""From this number of documents on, the passes cost less than reading one by one (benchmarks/speed/fetch_speed.py)."""


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """The k documents that were found, in the order of the ids asked for.

    `positions`: indices into the ids asked for, int64 [k]; `ordinals`: positions in the store, int64 [k]; `rows`: tokens,
    int64 [k]; `payloads`: encoded bytes of the k documents, by array name; `missing`: ids that the store does not hold;
    `bytes_read`: size of the payloads and of the record headers.
    """

    ids: tuple[str, ...]
    positions: npt.NDArray[np.int64]
    ordinals: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    payloads: Mapping[str, Payloads]
    missing: tuple[str, ...]
    bytes_read: int

    def __len__(self) -> int:
        return len(self.ids)


def fetch_documents(snapshots: Sequence[Snapshot], ids: Iterable[str], columns: Mapping[str, int]) -> Fetched:
    """Copy the arrays of `columns` (name -> number) of the documents that exist.

    Raises: InputError for an impossible id, DamagedStore.
    """
    ids = as_list(ids, "ids", "ids")
    wanted = encode_all(ids)
    found, missing = _find(snapshots, wanted)
    positions = np.concatenate([records.positions for records in found])
    order = np.argsort(positions)
    payloads = {name: _copy(found, order, column) for name, column in columns.items()}
    existing: Sequence[int] = positions[order].tolist() if missing else range(len(ids))
    header_bytes = len(existing) * snapshots[0].format.record_header.size
    header_bytes += sum(map(len, [wanted[index] for index in existing] if missing else wanted))
    return Fetched(
        ids=tuple([ids[index] for index in existing] if missing else ids),
        positions=positions[order],
        ordinals=np.concatenate([records.ordinals for records in found])[order],
        rows=np.concatenate([records.headers.rows for records in found])[order],
        payloads=payloads,
        missing=tuple([ids[index] for index in missing]),
        bytes_read=header_bytes + sum([len(copied.data) for copied in payloads.values()]),
    )


@dataclass(slots=True, eq=False)
class Records:
    """k records of one shard whose headers were checked. Blocks are views, valid as long as the transaction.

    `positions`, indices into the ids asked for, and `ordinals`: int64 [k]. `owners`: the index in `blocks` of the block of
    each record, int64 [k].
    """

    snapshot: Snapshot
    positions: Numbers
    ordinals: Numbers
    blocks: Blocks
    owners: Numbers
    headers: RecordHeaders

    def source(self, column: int) -> PayloadSource:
        """The payloads of one array, unchecked."""
        edges, checksums = self.headers.edges, self.headers.checksums
        return PayloadSource(self.blocks, self.owners, edges[:, column], edges[:, column + 1], checksums[:, column])

    def refuse(self, index: int, column: int) -> None:
        """Name the document of record `index`, whose payload is damaged. Raises: DamagedStore."""
        ordinal = int(self.ordinals[index])
        header = self.snapshot.record_header(ordinal)
        self.snapshot.payloads(ordinal, header, (column,))
        doc_id = header.doc_id.decode(errors="replace")
        raise self.snapshot.location.damaged("its bytes changed while they were read", ordinal, doc_id)


def _find(snapshots: Sequence[Snapshot], wanted: Sequence[bytes]) -> tuple[list[Records], list[int]]:
    """The records of all ids that exist, and the sorted indices of the other ids. Raises: DamagedStore."""
    found: list[Records] = []
    routed = snapshots[0].owned is not None
    waiting, prefixes = list(range(len(wanted))), id_prefixes(wanted) if len(wanted) >= MANY or routed else []
    if prefixes:
        waiting = np.frombuffer(b"".join(prefixes), f"S{PREFIX_SIZE}").argsort().tolist()
    hashes = [int.from_bytes(prefixes[index], "big") for index in waiting] if routed else []
    for snapshot in snapshots:
        first, behind = snapshot.owned or (0, 0)
        mine = waiting[bisect_left(hashes, first) : bisect_left(hashes, behind)] if routed else waiting
        if not mine and (found or snapshot is not snapshots[-1]):
            continue
        with lmdb_errors(snapshot.location):
            of_shard, doubtful = [], mine
            if len(wanted) >= MANY:
                sound, doubtful = _find_batch(snapshot, wanted, prefixes, mine)
                of_shard.append(sound)
            of_shard.append(find_singly(snapshot, wanted, doubtful))
        found.extend(of_shard)
        if not routed:
            waiting = _without(waiting, of_shard)
    waiting = _without(waiting, found) if routed else waiting
    if waiting:
        check_indexes(snapshots)
    return found, sorted(waiting)


def _without(waiting: list[int], found: Sequence[Records]) -> list[int]:
    """The indices that none of these records has."""
    positions = np.concatenate([records.positions for records in found])
    if len(positions) == len(waiting):
        return []
    rest: list[int] = np.setdiff1d(waiting, positions, assume_unique=True).tolist()
    return rest


def check_indexes(snapshots: Sequence[Snapshot]) -> None:
    """Tell missing documents from damaged indexes, once per commit. Raises: DamagedStore."""
    for snapshot in snapshots:
        with lmdb_errors(snapshot.location):
            snapshot.check_index()


def _find_batch(
    snapshot: Snapshot, wanted: Sequence[bytes], prefixes: Sequence[bytes], waiting: Sequence[int]
) -> tuple[Records, list[int]]:
    """The sound records of a shard for the ids at the indices `waiting`, and the indices to read again one by one."""
    ordinals = snapshot.lookup_all([prefixes[index] for index in waiting])
    order = np.argsort(ordinals, kind="stable")[np.count_nonzero(ordinals < 0) :]
    positions, ordinals = np.array(waiting, np.int64)[order], ordinals[order]
    doc_ids = [wanted[index] for index in positions.tolist()]
    blocks, owners = snapshot.locate(ordinals)
    headers, sound = read_records(len(ordinals), snapshot.format, blocks, owners, ordinals, doc_ids)
    if sound.all():
        return Records(snapshot, positions, ordinals, blocks, owners, headers), []
    headers = RecordHeaders(headers.rows[sound], headers.edges[sound], headers.checksums[sound])
    return Records(snapshot, positions[sound], ordinals[sound], blocks, owners[sound], headers), positions[~sound].tolist()


def find_singly(snapshot: Snapshot, wanted: Sequence[bytes], waiting: Sequence[int]) -> Records:
    """The same for a few ids, one check after the other, so that an error says what is wrong. Raises: DamagedStore."""
    found = [(index, hit) for index in waiting if (hit := snapshot.find(wanted[index])) is not None]
    arrays, headers = snapshot.format.arrays, [header for _, (_, header) in found]
    edges = [[*accumulate(header.lengths, initial=header.start)] for header in headers]
    return Records(
        snapshot,
        np.array([index for index, _ in found], np.int64),
        np.array([ordinal for _, (ordinal, _) in found], np.int64),
        Blocks([], [snapshot.block(ordinal).value for _, (ordinal, _) in found]),
        np.arange(len(found)),
        RecordHeaders(
            np.array([header.rows for header in headers], np.int64),
            np.array(edges, np.int64).reshape(-1, arrays + 1),
            np.array([header.checksums for header in headers], np.uint32).reshape(-1, arrays),
        ),
    )


def _copy(found: Sequence[Records], order: Numbers, column: int) -> Payloads:
    """Copy the payloads of one array in the given order and compare their checksums. Raises: DamagedStore."""
    copied, same = copy_payloads(len(order), [records.source(column) for records in found], order)
    for index in order[~same].tolist():
        for records in found:
            if index < len(records.positions):
                records.refuse(index, column)
            index -= len(records.positions)
    return copied
