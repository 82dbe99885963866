"""Reading documents by id. Many at once: one pass over the index, one over the blocks, then all heads together.

These passes find that something is wrong, not what: such a document is read once more by itself (`Snapshot.find`,
`payloads`), which names the check that failed, or finds the document that was meant where two ids begin their digests alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lateint_store.disk.environment import lmdb_errors
from lateint_store.format.ids import encode_all
from lateint_store.format.index import PREFIX_SIZE, id_prefixes
from lateint_store.format.record_batch import Blocks, Heads, Numbers, Source, copy_payloads, read_records
from lateint_store.format.record_kernels import load_records
from lateint_store.kernels.dispatch import pays
from lateint_store.ragged import Payloads
from lateint_store.shards.shards import Shards
from lateint_store.shards.snapshot import Snapshot

if TYPE_CHECKING:
    from lateint_store.codecs.pipeline import Pipeline
from lateint_store.kernels.dispatch import load_numba

MANY = 24
"""Documents from which on the passes cost less than reading one by one (benchmarks/speed/fetch_speed.py)."""
SAVED = 2_000
"""Nanoseconds a document that kernels save."""


@dataclass(slots=True, eq=False)
class Records:
    """k records of one shard, their heads checked. Blocks are views: nothing of them may outlive the transaction.

    `places`, in the ids asked for, and `ordinals`: int64 [k]; `owners` int64 [k]: the one of `blocks` that each is in.
    """

    snapshot: Snapshot
    places: Numbers
    ordinals: Numbers
    blocks: Blocks
    owners: Numbers
    heads: Heads

    def source(self, column: int) -> Source:
        """The payloads of one array, unchecked."""
        edges, checksums = self.heads.edges, self.heads.checksums
        return Source(self.blocks, self.owners, edges[:, column], edges[:, column + 1], checksums[:, column])

    def refuse(self, place: int, column: int) -> None:
        """Name the document whose payload is not what was written. Raises: DamagedStore."""
        ordinal = int(self.ordinals[place])
        head = self.snapshot.head(ordinal)
        self.snapshot.payloads(ordinal, head, (column,))
        doc_id = head.doc_id.decode(errors="replace")
        raise self.snapshot.location.damaged("its bytes changed while they were read", ordinal, doc_id)


def fetch_documents(shards: Shards, ids: Sequence[str], columns: Mapping[str, int]) -> Fetched:
    """Copy the arrays of `columns` (name -> number) of those documents that are there, in one short transaction.

    Raises: InputError for what cannot be an id, DamagedStore.
    """
    wanted, kernels = encode_all(ids), pays(SAVED * len(ids))
    with shards.reading() as snapshots:
        found, missing = _find(snapshots, wanted, kernels)
        places = np.concatenate([records.places for records in found])
        order = np.argsort(places)
        payloads = {name: _copy(found, order, column, kernels) for name, column in columns.items()}
    met: Sequence[int] = places[order].tolist() if missing else range(len(ids))
    heads = sum(map(len, [wanted[place] for place in met] if missing else wanted)) + len(met) * shards.format.head.size
    return Fetched(
        ids=tuple([ids[place] for place in met] if missing else ids),
        positions=places[order],
        ordinals=np.concatenate([records.ordinals for records in found])[order],
        rows=np.concatenate([records.heads.rows for records in found])[order],
        payloads=payloads,
        missing=tuple([ids[place] for place in missing]),
        bytes_read=heads + sum([len(copied.data) for copied in payloads.values()]),
    )


def _find(snapshots: Sequence[Snapshot], wanted: Sequence[bytes], kernels: bool) -> tuple[list[Records], list[int]]:
    """The records of all ids that are there, and the places of the others, sorted. Raises: DamagedStore."""
    found: list[Records] = []
    waiting, prefixes = list(range(len(wanted))), [] if len(wanted) < MANY else id_prefixes(wanted)
    if prefixes:
        waiting = np.frombuffer(b"".join(prefixes), f"S{PREFIX_SIZE}").argsort().tolist()
    for snapshot in snapshots:
        with lmdb_errors(snapshot.location):
            here, doubtful = [], waiting
            if prefixes:
                sound, doubtful = _together(snapshot, wanted, prefixes, waiting, kernels)
                here.append(sound)
            here.append(_one_by_one(snapshot, wanted, doubtful))
        met = np.concatenate([records.places for records in here])
        waiting = [] if len(met) == len(waiting) else np.setdiff1d(waiting, met, assume_unique=True).tolist()
        found.extend(here)
    if waiting:
        for snapshot in snapshots:
            with lmdb_errors(snapshot.location):
                snapshot.check_index()
    return found, sorted(waiting)


def _together(
    snapshot: Snapshot, wanted: Sequence[bytes], prefixes: Sequence[bytes], waiting: Sequence[int], kernels: bool
) -> tuple[Records, list[int]]:
    """The records of those of the `waiting` places of `wanted` that a shard holds; apart from them those to be read again."""
    ordinals = snapshot.lookup_all([prefixes[place] for place in waiting])
    order = np.argsort(ordinals, kind="stable")[np.count_nonzero(ordinals < 0) :]
    places, ordinals = np.array(waiting, np.int64)[order], ordinals[order]
    doc_ids = [wanted[place] for place in places.tolist()]
    blocks, owners = snapshot.locate(ordinals)
    heads, sound = read_records(snapshot.format, blocks, owners, ordinals, doc_ids, kernels=kernels)
    if sound.all():
        return Records(snapshot, places, ordinals, blocks, owners, heads), []
    heads = Heads(heads.rows[sound], heads.edges[sound], heads.checksums[sound])
    return Records(snapshot, places[sound], ordinals[sound], blocks, owners[sound], heads), places[~sound].tolist()


def _one_by_one(snapshot: Snapshot, wanted: Sequence[bytes], waiting: Sequence[int]) -> Records:
    """The same for a few: each check by itself, so that an error says what is wrong. Raises: DamagedStore."""
    met = [(place, one) for place in waiting if (one := snapshot.find(wanted[place])) is not None]
    arrays, heads = snapshot.format.arrays, [head for _, (_, head) in met]
    return Records(
        snapshot,
        np.array([place for place, _ in met], np.int64),
        np.array([ordinal for _, (ordinal, _) in met], np.int64),
        Blocks([], [snapshot.block(ordinal).value for _, (ordinal, _) in met]),
        np.arange(len(met)),
        Heads(
            np.array([head.rows for head in heads], np.int64),
            np.array([[*accumulate(head.lengths, initial=head.start)] for head in heads], np.int64).reshape(-1, arrays + 1),
            np.array([head.checksums for head in heads], np.uint32).reshape(-1, arrays),
        ),
    )


def _copy(found: Sequence[Records], order: Numbers, column: int, kernels: bool) -> Payloads:
    """Copies of the payloads of one array in some order, their checksums compared. Raises: DamagedStore."""
    copied, same = copy_payloads([records.source(column) for records in found], order, kernels=kernels)
    for place in order[~same].tolist():
        for records in found:
            if place < len(records.places):
                records.refuse(place, column)
            place -= len(records.places)
    return copied


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """The k documents that were found, in the order in which they were asked for.

    `positions`: places in the ids asked for, int64 [k]; `ordinals`: places in the store, int64 [k];
    `rows`: tokens, int64 [k]; `payloads`: for each array the encoded bytes of k documents; `missing`: ids that are not
    there; `bytes_read`: payloads and the heads of their records.
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


def load_kernels(pipelines: Iterable[Pipeline]) -> None:
    """Use kernels from now on, and have the machine code of all that reading documents and these pipelines call, both ways."""
    if load_numba():
        load_records()
    for pipeline in pipelines:
        encoded = pipeline.encode(np.zeros(pipeline.spec.shape(2), pipeline.spec.dtype))
        pipeline.decode(encoded, 2)
