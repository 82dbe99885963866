"""Merge the shards i/n of a build: window k comes from shard k % n, so the order is that of the source."""

from __future__ import annotations

import heapq
import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain

from lateint_store.arguments import as_list, as_path
from lateint_store.derive.new_store import write_store
from lateint_store.errors import InputError, StoreError
from lateint_store.format.state import State
from lateint_store.shards.shards import Shards
from lateint_store.shards.together import check_all_there, check_distinct, check_finished, check_one_model, identity_difference
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
        check_finished([(part.path, state.progress) for part, state in zip(parts, states, strict=True)])
        check_distinct([(part.path, snapshot) for part, mine in zip(parts, snapshots, strict=True) for snapshot in mine])
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
        check_one_model((parts[0].path, first), (part.path, part.manifest))
        if difference := identity_difference(replace(first, shard=None), replace(part.manifest, shard=None)):
            raise StoreError(f"stores {parts[0].path} and {part.path} do not belong together: {difference}")
    check_all_there("merge", [part.manifest.shard or (0, 1) for part in parts])
    return sorted(parts, key=lambda part: part.manifest.shard or (0, 1))


def _joined(states: Sequence[State]) -> State:
    """The state of the merged store: the source position that all have reached, the documents of all."""
    progress = replace(
        states[0].progress,
        documents=sum(state.progress.documents for state in states),
        windows=sum(state.progress.windows for state in states),
    )
    return State(window=max(state.window for state in states), progress=progress)
