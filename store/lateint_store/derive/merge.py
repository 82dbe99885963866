"""Merge the shards i/n of a build: window k comes from shard k % n, so the order is that of the source."""

from __future__ import annotations

import heapq
import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain

import numpy as np

from lateint_store.arguments import as_list, as_path
from lateint_store.derive.new_store import write_store
from lateint_store.errors import DuplicateDocument, InputError, StoreError, StoreMismatch
from lateint_store.format import index
from lateint_store.format.state import State
from lateint_store.opening import differences, identity_difference
from lateint_store.shards.shards import Shards
from lateint_store.shards.snapshot import Snapshot
from lateint_store.store import Store
from lateint_store.writing.rewrite import live_windows


def merge(paths: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Store:
    """Merge the stores of shards 0/n to n-1/n into a new store at `out`, open for writing.

    The content digest equals that of one unsharded build. An interrupted merge leaves no store; run it again.
    Raises: StoreMismatch or StoreError if the stores are not the n finished shards of one build; DuplicateDocument.
    """
    with ExitStack() as stack:
        parts = _in_order([stack.enter_context(closing(Shards(as_path(path)))) for path in as_list(paths, "paths", "paths")])
        snapshots = [stack.enter_context(part.reading()) for part in parts]
        states = [part_snapshots[-1].state() for part_snapshots in snapshots]
        _check_finished(parts, states)
        _check_distinct(parts, snapshots)
        sources = [
            chain.from_iterable(live_windows(snapshot, part.manifest) for snapshot in mine)
            for part, mine in zip(parts, snapshots, strict=True)
        ]
        windows = heapq.merge(*sources, key=lambda window: window[0])
        return write_store(as_path(out, "out"), replace(parts[0].manifest, shard=None), windows, _joined(states))


def _in_order(parts: Sequence[Shards]) -> list[Shards]:
    """Sort the shards by number. Raises: StoreError, StoreMismatch unless they are all shards of one build."""
    if not parts:
        raise InputError("merge needs at least one store")
    first = parts[0].manifest
    for part in parts:
        if part.manifest.shard is None:
            raise StoreError(f"store {part.path} is no shard of a build (it was created without shard=(i, n))")
        if difference := differences(first, part.manifest):
            reason = _one_is_older(parts[0], part) or difference
            raise StoreMismatch(f"stores {parts[0].path} and {part.path} do not belong together: {reason}")
        if difference := identity_difference(replace(first, shard=None), replace(part.manifest, shard=None)):
            raise StoreError(f"stores {parts[0].path} and {part.path} do not belong together: {difference}")
    numbers = [part.manifest.shard or (0, 1) for part in parts]
    total = numbers[0][1]
    if sorted(numbers) != [(number, total) for number in range(total)]:
        given = ", ".join(f"{number}/{count}" for number, count in sorted(numbers))
        raise StoreError(f"merge needs each of the shards 0/{total} to {total - 1}/{total} once, got {given}")
    return sorted(parts, key=lambda part: part.manifest.shard or (0, 1))


def _one_is_older(one: Shards, other: Shards) -> str:
    """Say what to do if one fingerprint has facts that the other lacks, and all that both have are equal; else empty."""
    few, many = sorted((one, other), key=lambda part: len(part.manifest.fingerprint))
    facts, all_facts = few.manifest.plain("fingerprint"), many.manifest.plain("fingerprint")
    added = sorted(set(all_facts) - set(facts))
    if facts != {name: fact for name, fact in all_facts.items() if name in facts}:
        return ""
    return (
        f"{few.path} was begun by an earlier version, which did not record {', '.join(added)}; all facts that both record are "
        f"equal. Index this shard again into another folder with the command that made it, and merge with that"
    )


def _check_finished(parts: Sequence[Shards], states: Sequence[State]) -> None:
    """Raise StoreError unless all shards have read the same source to the same position."""
    first = states[0].progress
    for part, state in zip(parts, states, strict=True):
        progress = state.progress
        if (progress.source_position, progress.source_digest) != (first.source_position, first.source_digest):
            raise StoreError(
                f"{parts[0].path} has read {first.source_position} documents of its source (digest "
                f"{first.source_digest[:12]}), {part.path} {progress.source_position} (digest "
                f"{progress.source_digest[:12]}): one is not finished, or their sources differ"
            )


def _check_distinct(parts: Sequence[Shards], snapshots: Sequence[Sequence[Snapshot]]) -> None:
    """Raise DuplicateDocument for an id that two stores hold; compares digests of ids first."""
    flat = [(part, snapshot) for part, mine in zip(parts, snapshots, strict=True) for snapshot in mine]
    entries = [snapshot.entries("ids") for _, snapshot in flat]
    owners = np.repeat(np.arange(len(flat)), [len(run) // index.ENTRY_SIZE for run in entries])
    table = np.frombuffer(b"".join(entries), np.uint8).reshape(-1, index.ENTRY_SIZE)
    prefixes = np.zeros((len(table), 8), np.uint8)
    prefixes[:, : index.PREFIX_SIZE] = table[:, : index.PREFIX_SIZE]
    keys = prefixes.view("<u8")[:, 0]
    order = np.argsort(keys, kind="stable")
    for first in np.flatnonzero(keys[order[1:]] == keys[order[:-1]]):
        twins = order[first], order[first + 1]
        found = [
            (flat[owners[twin]][0].path, flat[owners[twin]][1].record_header(index.entry_ordinal(table[twin].tobytes())).doc_id)
            for twin in twins
        ]
        if found[0][1] == found[1][1]:
            doc_id = found[0][1].decode()
            raise DuplicateDocument(f"document {doc_id!r} is in store {found[0][0]} and in {found[1][0]}")


def _joined(states: Sequence[State]) -> State:
    """The state of the merged store: the source position that all have reached, the documents of all."""
    progress = replace(
        states[0].progress,
        documents=sum(state.progress.documents for state in states),
        windows=sum(state.progress.windows for state in states),
    )
    return State(window=max(state.window for state in states), progress=progress)
