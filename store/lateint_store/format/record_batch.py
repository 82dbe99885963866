"""Read many records at once: the checks of `block.py` on whole arrays. They detect a damaged record, but not the cause.

Each of the two passes has a numpy implementation here and a kernel in `record_kernels.py`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from operator import eq

import numpy as np
import numpy.typing as npt

from lateint_store.codecs.codec import Buffer
from lateint_store.format.block import BLOCK_HEADER, BLOCK_MAGIC, CRC, DIGEST_SIZE, MAX_DOCUMENTS, TABLE_START, BlockFormat
from lateint_store.format.record_kernels import Flags, Numbers, check_headers, copy_checked, starts_of
from lateint_store.kernels.dispatch import with_kernel
from lateint_store.ragged import Payloads

_HEADER = np.dtype("<u4, <u2, <u2, <u8, <u8, <u8, <u4")
_HEADER.names = ("magic", "count", "flags", "first", "uuid", "window", "crc")
_KEY_SIZE = 8
_LONGEST = TABLE_START + CRC.size * (MAX_DOCUMENTS + 1)
_SPAN = np.dtype([("span", "<u4", (2,))])


@dataclass(eq=False)
class Blocks:
    """Views of blocks in LMDB's memory map, with their keys; valid as long as the transaction."""

    keys: Sequence[Buffer]
    views: Sequence[Buffer]

    @cached_property
    def sizes(self) -> Numbers:
        """Bytes of each block."""
        return np.fromiter(map(len, self.views), np.int64, len(self.views))

    @cached_property
    def addresses(self) -> Numbers:
        """Memory address of each block, 0 for an empty one."""
        return starts_of(self.views)

    def of(self, owners: Numbers) -> list[Buffer]:
        """The block of each record, given the indices of the blocks."""
        return [self.views[owner] for owner in owners.tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class PayloadSource:
    """The payloads of one array in k records.

    `owners`: index in `blocks` of the block of each record, int64 [k]; `starts`, `ends`: offsets of the payload in its
    block, int64 [k]; `checksums`: as the record states them, uint32 [k].
    """

    blocks: Blocks
    owners: Numbers
    starts: Numbers
    ends: Numbers
    checksums: npt.NDArray[np.uint32]

    @property
    def addresses(self) -> Numbers:
        """Memory address of each payload."""
        return self.blocks.addresses[self.owners] + self.starts

    def views(self) -> list[Buffer]:
        """The bytes of each payload, without a copy."""
        cuts = zip(self.blocks.of(self.owners), self.starts.tolist(), self.ends.tolist(), strict=True)
        return [block[start:end] for block, start, end in cuts]


def read_tables(format: BlockFormat, blocks: Blocks, owners: Numbers, ordinals: Numbers) -> tuple[Numbers, Flags]:
    """Find the record of each ordinal: its start and end in block `owners[i]` of `blocks`, int64 [k, 2].

    Also bool [k]: whether that block has the right key, a sound header and table, this ordinal, and room for the record.
    """
    keys, views, sizes = blocks.keys, blocks.views, blocks.sizes
    if set(map(len, keys)) - {_KEY_SIZE} or (sizes < TABLE_START + DIGEST_SIZE).any():
        return np.zeros((len(ordinals), 2), np.int64), np.zeros(len(ordinals), np.bool_)
    taken = np.minimum(sizes, _LONGEST)
    copied = b"".join([block[:_LONGEST] for block in views])
    places = np.cumsum(taken) - taken
    headers = _structs(copied, places, _HEADER)
    counts, firsts = headers["count"].astype(np.int64), headers["first"].astype(np.int64)
    ends = TABLE_START + CRC.size * (counts + 1)
    sound = (headers["magic"] == int.from_bytes(BLOCK_MAGIC, "little")) & (headers["flags"] == 0)
    sound &= (headers["uuid"] == int.from_bytes(format.uuid, "little")) & (counts <= MAX_DOCUMENTS)
    sound &= (ends + DIGEST_SIZE <= sizes) & (headers["first"] == np.frombuffer(b"".join(keys), ">u8"))
    starts = map(zlib.crc32, _slices(copied, places, places + BLOCK_HEADER.size))
    crcs = map(zlib.crc32, _slices(copied, places + TABLE_START, places + ends), starts)
    sound &= headers["crc"] == np.fromiter(crcs, np.uint32, len(views))
    inside = ordinals - firsts[owners]
    good = sound[owners] & (inside >= 0) & (inside < counts[owners])
    entries = places[owners] + TABLE_START + CRC.size * np.where(good, inside, 0)
    spans = _structs(copied, entries, _SPAN)["span"].astype(np.int64)
    return spans, good & (spans[:, 1] <= sizes[owners] - DIGEST_SIZE)


@dataclass(slots=True)
class RecordHeaders:
    """The headers of k records.

    `rows` int64 [k]; `edges`, offsets in the block where each payload starts and the last one ends, int64 [k, arrays + 1];
    `checksums` of the payloads, uint32 [k, arrays].
    """

    rows: Numbers
    edges: Numbers
    checksums: npt.NDArray[np.uint32]


# Nanoseconds saved per record and per payload: benchmarks/speed/fetch_speed.py.


def _read_compiled(
    format: BlockFormat, blocks: Blocks, owners: Numbers, ordinals: Numbers, doc_ids: Sequence[bytes]
) -> tuple[RecordHeaders, Flags]:
    if set(map(len, blocks.keys)) - {_KEY_SIZE}:
        return read_records.reference(format, blocks, owners, ordinals, doc_ids)
    ends = np.fromiter(accumulate(map(len, doc_ids)), np.int64, len(doc_ids))
    first = np.frombuffer(b"".join(blocks.keys), ">i8").astype(np.int64)
    where = (blocks.addresses, blocks.sizes, first)
    rows, edges, checksums, sound = check_headers(format, where, owners, ordinals, (b"".join(doc_ids), ends))
    return RecordHeaders(rows, edges, checksums), sound


@with_kernel(_read_compiled, saved_ns=1_000)
def read_records(
    format: BlockFormat, blocks: Blocks, owners: Numbers, ordinals: Numbers, doc_ids: Sequence[bytes]
) -> tuple[RecordHeaders, Flags]:
    """Read the header of each record, in block `owners[i]` of `blocks`; bool [k]: whether it is sound and has the id."""
    spans, located = read_tables(format, blocks, owners, ordinals)
    headers, sound = read_headers(format, blocks.of(owners), np.where(located[:, None], spans, 0), ordinals, doc_ids)
    return headers, sound & located


def _copy_compiled(sources: Sequence[PayloadSource], order: Numbers) -> tuple[Payloads, Flags]:
    expected = np.concatenate([source.checksums for source in sources])[order]
    starts = np.concatenate([source.addresses for source in sources])[order]
    sizes = np.concatenate([source.ends - source.starts for source in sources])[order]
    data, offsets, same = copy_checked(starts, sizes, expected)
    return Payloads(data, offsets), same


@with_kernel(_copy_compiled, saved_ns=1_000)
def copy_payloads(sources: Sequence[PayloadSource], order: Numbers) -> tuple[Payloads, Flags]:
    """Copy payloads in the given order; bool [k]: whether the checksum of each matches."""
    expected = np.concatenate([source.checksums for source in sources])[order]
    views = [view for source in sources for view in source.views()]
    copied = Payloads.join([views[index] for index in order.tolist()])
    crcs = np.fromiter(map(zlib.crc32, copied.views()), np.uint32, len(copied))
    return copied, crcs == expected


def read_headers(
    format: BlockFormat, blocks: Sequence[Buffer], spans: Numbers, ordinals: Numbers, doc_ids: Sequence[bytes]
) -> tuple[RecordHeaders, Flags]:
    """Read the header of each record, at `spans` in its block; bool [k]: whether it is sound and has the id."""
    (starts, ends), size = spans.T, format.record_header.size
    expected = size + np.fromiter(map(len, doc_ids), np.int64, len(doc_ids))
    taken = np.minimum(expected, np.maximum(ends - starts, 0))
    cuts = zip(blocks, starts.tolist(), (starts + taken).tolist(), strict=True)
    # A record too short for its header is not sound; the bytes that follow, or these zeros, are read as the rest.
    copied = b"".join([*(block[start:end] for block, start, end in cuts), bytes(size)])
    places = np.cumsum(taken) - taken
    headers = _structs(copied, places, _header_type(format))
    edges = np.cumsum(np.column_stack([starts + size + headers["id_bytes"], headers["lengths"]]), axis=1)
    sound = (taken == expected) & (edges[:, 0] == starts + expected) & (edges[:, -1] == ends)
    seeds = ((ordinals ^ format.seed) & 0xFFFFFFFF).tolist()
    crcs = map(zlib.crc32, _slices(copied, places + CRC.size, places + taken), seeds)
    sound &= headers["crc"] == np.fromiter(crcs, np.uint32, len(seeds))
    sound &= np.fromiter(map(eq, _slices(copied, places + size, places + taken), doc_ids), np.bool_, len(seeds))
    return RecordHeaders(headers["rows"].astype(np.int64), edges, headers["checksums"]), sound


def _header_type(format: BlockFormat) -> np.dtype[np.void]:
    """The numpy dtype of a record header, as `BlockFormat.record_header` packs it."""
    arrays = (format.arrays,)
    return np.dtype(
        [("crc", "<u4"), ("id_bytes", "<u2"), ("rows", "<u4"), ("lengths", "<u4", arrays), ("checksums", "<u4", arrays)]
    )


def _structs(data: bytes, places: Numbers, kind: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """Read structs of dtype `kind` at the given offsets."""
    found: npt.NDArray[np.void] = np.frombuffer(data, np.uint8)[places[:, None] + np.arange(kind.itemsize)].view(kind)[:, 0]
    return found


def _slices(data: bytes, starts: Numbers, ends: Numbers) -> list[bytes]:
    return [data[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
