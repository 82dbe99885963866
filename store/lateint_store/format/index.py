"""The id index: 12-byte entries, 7 bytes of blake2b(id) and the 5-byte ordinal, sorted in one LMDB duplicate set.

Fixed-size duplicates have no header, so an id costs 12 bytes if inserted in order and about 17 after random inserts.
Expect the first collision of 7 bytes at about 2**28 documents; the id inside the record decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

INDEX_KEY = b"ids"
ENTRY_SIZE = 12
PREFIX_SIZE = 7
MAX_ORDINAL = (1 << 40) - 1

_MASK = (1 << 64) - 1


def id_prefix(doc_id: bytes) -> bytes:
    """The first part of an entry: 7 bytes of the digest of an id (UTF-8)."""
    return id_prefixes([doc_id])[0]


def id_prefixes(doc_ids: Sequence[bytes]) -> list[bytes]:
    """`id_prefix` of many ids, without one call per id."""
    blake2b, size = hashlib.blake2b, PREFIX_SIZE
    return [blake2b(doc_id, digest_size=size).digest() for doc_id in doc_ids]


def make_entry(doc_id: bytes, ordinal: int) -> bytes:
    """The index entry of a document."""
    return id_prefix(doc_id) + ordinal.to_bytes(ENTRY_SIZE - PREFIX_SIZE, "big")


def entry_ordinal(entry: bytes | memoryview) -> int:
    """The ordinal of an entry."""
    return int.from_bytes(entry[PREFIX_SIZE:], "big")


def entry_ordinals(entries: bytes) -> npt.NDArray[np.int64]:
    """The ordinals of joined entries, sorted: int64 [k]."""
    return np.sort(_ordinals(_table(entries)))


def named_ordinals(entries: bytes, prefixes: bytes) -> npt.NDArray[np.int64]:
    """The ordinal of each of k joined entries, -1 if the entry does not start with its prefix: int64 [k]."""
    table = _table(entries)
    alike = table[:, :PREFIX_SIZE] == np.frombuffer(prefixes, np.uint8).reshape(-1, PREFIX_SIZE)
    return np.where(alike.all(axis=1), _ordinals(table), -1)


def entries_digest(entries: bytes) -> int:
    """Sum of a 128-bit hash of each of the joined entries: independent of their order, so it is updated entry by entry.

    It detects accidents, not attacks.
    """
    table = _table(entries)
    head = np.ascontiguousarray(table[:, :8]).view("<u8")[:, 0]
    tail = np.ascontiguousarray(table[:, 8:]).view("<u4")[:, 0].astype(np.uint64)
    low = _mix(head ^ _mix(tail + np.uint64(0x9E3779B97F4A7C15)))
    high = _mix(low ^ head ^ _mix(tail + np.uint64(0xD1B54A32D192ED03)))
    sums = [int(np.add.reduce(lane, dtype=np.uint64)) & _MASK for lane in (low, high)]
    return sums[0] | sums[1] << 64


def add_digests(first: int, second: int, sign: int = 1) -> int:
    """Sum (sign=1) or difference (sign=-1) of two digests, each 64-bit half by itself."""
    low = ((first & _MASK) + sign * (second & _MASK)) & _MASK
    high = ((first >> 64) + sign * (second >> 64)) & _MASK
    return low | high << 64


def _table(entries: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(entries, np.uint8).reshape(-1, ENTRY_SIZE)


def _ordinals(table: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    padded = np.zeros((len(table), 8), np.uint8)
    padded[:, 8 - (ENTRY_SIZE - PREFIX_SIZE) :] = table[:, PREFIX_SIZE:]
    return padded.view(">u8")[:, 0].astype(np.int64)


def _mix(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The splitmix64 finaliser: every input bit reaches every output bit."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
