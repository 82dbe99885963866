"""Whether stores belong together: they were made by one model with the same codecs, and no document is in two of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lateint_store.errors import DuplicateDocument, StoreError, StoreMismatch
from lateint_store.format import index
from lateint_store.format.manifest import Manifest
from lateint_store.format.state import SourceProgress
from lateint_store.shards.snapshot import Snapshot

Named = Path | str
"""A store in a message: its folder, or its URL."""


def identity_difference(there: Manifest, wanted: Manifest) -> str:
    """Describe the first difference in codecs, window or shard; empty if there is none."""
    mine, theirs = wanted.identity(), there.identity()
    return next((f"{name} {theirs[name]} there, {mine[name]} here" for name in mine if mine[name] != theirs[name]), "")


def differences(there: Manifest, wanted: Manifest) -> str:
    """Describe how two fingerprints differ: models, and differing entries cut to 12 characters; empty if they are equal."""
    mine, theirs = wanted.plain("fingerprint"), there.plain("fingerprint")
    parts = [
        f"{name} {str(theirs.get(name))[:12]} there, {str(mine.get(name))[:12]} here"
        for name in sorted(set(mine) | set(theirs))
        if mine.get(name) != theirs.get(name)
    ]
    if not parts:
        return ""
    models = [str(manifest.model.get("name", dict(manifest.model))) for manifest in (there, wanted)]
    return f"model {models[0]} there, {models[1]} here; " + "; ".join(parts)


def check_one_layout(one: tuple[Named, Manifest], other: tuple[Named, Manifest]) -> None:
    """Refuse two stores that cannot open as one: of different models or codecs. Raises: StoreMismatch."""
    check_one_model(one, other)
    codecs = [str(manifest.identity()["codecs"]) for _, manifest in (one, other)]
    if codecs[0] != codecs[1]:
        raise StoreMismatch(
            f"stores {one[0]} and {other[0]} do not belong together: codecs {codecs[0]} there, {codecs[1]} here; "
            f"recode one of them (`lateint store recode`)"
        )


def check_one_model(one: tuple[Named, Manifest], other: tuple[Named, Manifest]) -> None:
    """Refuse two stores whose states were made differently. Raises: StoreMismatch."""
    if difference := differences(one[1], other[1]):
        reason = _one_is_older(one, other) or difference
        raise StoreMismatch(f"stores {one[0]} and {other[0]} do not belong together: {reason}")


def _one_is_older(one: tuple[Named, Manifest], other: tuple[Named, Manifest]) -> str:
    """Say what to do if one fingerprint has facts that the other lacks, and all that both have are equal; else empty."""
    few, many = sorted((one, other), key=lambda part: len(part[1].fingerprint))
    facts, all_facts = few[1].plain("fingerprint"), many[1].plain("fingerprint")
    added = sorted(set(all_facts) - set(facts))
    if facts != {name: fact for name, fact in all_facts.items() if name in facts} or few[1].arrays != many[1].arrays:
        return ""
    return (
        f"{few[0]} was begun by an earlier version, which did not record {', '.join(added)}; all facts that both record are "
        f"equal. Index this shard again into another folder with the command that made it, and use that one"
    )


def check_all_there(work: str, shards: Sequence[tuple[int, int]]) -> None:
    """Refuse shards i/n of a build of which one is missing or there twice; `work` needs them. Raises: StoreError."""
    total = shards[0][1]
    if sorted(shards) != [(number, total) for number in range(total)]:
        given = ", ".join(f"{number}/{count}" for number, count in sorted(shards))
        raise StoreError(f"{work} needs each of the shards 0/{total} to {total - 1}/{total} once, got {given}")


def check_finished(shards: Sequence[tuple[Named, SourceProgress]]) -> None:
    """Refuse shards that have not read the same source to the same position. Raises: StoreError."""
    one, first = shards[0]
    for path, progress in shards:
        if (progress.source_position, progress.source_digest) != (first.source_position, first.source_digest):
            raise StoreError(
                f"{one} has read {first.source_position} documents of its source (digest {first.source_digest[:12]}), {path} "
                f"{progress.source_position} (digest {progress.source_digest[:12]}): one is not finished, or their sources "
                "differ"
            )


def check_distinct(stores: Sequence[tuple[Path, Snapshot]]) -> None:
    """Refuse an id that two stores hold; compares digests of ids first. Raises: DuplicateDocument."""
    for twins in alike_entries([snapshot.entries("ids") for _, snapshot in stores]):
        found = [(stores[number], ordinal) for number, ordinal in twins]
        ids = [store[1].record_header(ordinal).doc_id for store, ordinal in found]
        if ids[0] == ids[1]:
            places = " and in ".join(str(store[0]) for store, _ in found)
            raise DuplicateDocument(f"document {ids[0].decode()!r} is in store {places}")


def alike_entries(indexes: Sequence[bytes]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield pairs of entries of id indexes whose digests are equal, each as (number of the index, ordinal).

    Nearly always they are of one id. Cost: 12 bytes of memory per document, and a sort.
    """
    owners = np.repeat(np.arange(len(indexes)), [len(run) // index.ENTRY_SIZE for run in indexes])
    table = np.frombuffer(b"".join(indexes), np.uint8).reshape(-1, index.ENTRY_SIZE)
    prefixes = np.zeros((len(table), 8), np.uint8)
    prefixes[:, : index.PREFIX_SIZE] = table[:, : index.PREFIX_SIZE]
    keys = prefixes.view("<u8")[:, 0]
    order = np.argsort(keys, kind="stable")
    for first in np.flatnonzero(keys[order[1:]] == keys[order[:-1]]):
        one, other = (
            (int(owners[twin]), index.entry_ordinal(table[twin].tobytes())) for twin in (order[first], order[first + 1])
        )
        yield one, other
