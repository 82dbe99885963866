"""Create a store, or open an existing one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack
from uuid import uuid4

from lateint_store.arguments import as_path, check_kind, is_url
from lateint_store.codecs.pipeline import Pipeline
from lateint_store.disk import locking
from lateint_store.disk.environment import release
from lateint_store.disk.files import disk_errors, make_folder, sync_folder
from lateint_store.disk.locking import WriterLock
from lateint_store.errors import SealedStore, StoreError, StoreMismatch
from lateint_store.format import manifest as manifests
from lateint_store.format.manifest import Manifest, read_manifest, write_manifest
from lateint_store.format.set_manifest import read_set
from lateint_store.format.state import State
from lateint_store.format.versions import library_versions
from lateint_store.shards.shards import create_shard, remove_leftovers, with_shards
from lateint_store.shards.together import differences, identity_difference
from lateint_store.store import Store, StoreSet

S = TypeVar("S", bound=Store)


class About(TypedDict, total=False):
    """Settings of `create_store`. `model`, `fingerprint` and `head` are required, the others have defaults (`Manifest`)."""

    model: Mapping[str, Any]
    fingerprint: Mapping[str, Any]
    head: Mapping[str, Any]
    canary: Mapping[str, Any] | None
    window: int
    shard: tuple[int, int] | None
    documents_per_shard: int
    map_size: int


def create_store(
    path: str | os.PathLike[str],
    specs: Mapping[str, Pipeline],
    *,
    kind: type[S] = Store,  # type: ignore[assignment]
    **about: Unpack[About],
) -> S:
    """Create a store, open for writing; or continue one with the same identity, finished or not.

    `specs`: a pipeline for each array of an entry. `about`: keyword arguments `model`, `fingerprint`, `head` (JSON-able
    mappings), and optionally `canary`, `window` (documents per commit), `shard` ((i, n): this store gets the windows k
    with k % n == i), `documents_per_shard` (a new LMDB file starts after that many) and `map_size` (bytes per shard).
    `kind`: class of the result.
    Raises: StoreMismatch for another fingerprint; StoreError for other codecs, window or shard, or a folder with other
    contents; StoreLocked, StoreFull, InputError.
    """
    folder = as_path(path)
    check_kind(specs, "specs", Mapping, "a mapping from array names to pipelines")
    for name, pipeline in specs.items():
        check_kind(pipeline, f"specs[{name!r}]", Pipeline, "a Pipeline")
    wanted = Manifest(uuid=uuid4().hex, specs=dict(specs), versions=library_versions(), **_complete(about))
    if (folder / manifests.MANIFEST_FILE).exists():
        return _continue(folder, wanted, kind)
    lock = claim_folder(folder)
    try:
        _create(lock, wanted)
        return kind(folder, lock)
    except BaseException:
        lock.release()
        raise


def open_store(
    path: str | os.PathLike[str],
    *,
    write: bool = False,
    cache: str | os.PathLike[str] | None = None,
    kind: type[S] = Store,  # type: ignore[assignment]
    kind_of_set: type[StoreSet] = StoreSet,
) -> S:
    """Open a store, or a set of stores as one. Checks sizes, counts and digests; needs no model.

    `path`: a folder, or the URL of a published store, which is then fetched into the folder `cache` of local copies unless it
    is there (default: `$LATEINT_STORE_CACHE`, else the user's cache folder). `kind`: class of the result for a store;
    `kind_of_set`: for a set, derived from `kind` as well.
    Raises: StoreNotFound, DamagedStore, StoreError; with `write`, also SealedStore and StoreLocked; for a set, what
    `create_set` raises if its members do not belong together any more; for a URL, what
    `fetch_store` raises.
    """
    folder = _fetched(path, cache, write) if is_url(path) else as_path(path)
    check_kind(write, "write", bool, "True or False")
    is_set = read_set(folder) is not None
    chosen: type[S] = kind_of_set if is_set else kind  # type: ignore[assignment]
    if not write:
        return chosen(folder)
    if not is_set and read_manifest(folder).sealed:
        raise SealedStore(f"store {folder} is sealed and cannot change; build another one")
    lock = WriterLock(folder)
    try:
        return chosen(folder, lock)
    except BaseException:
        lock.release()
        raise


def _fetched(url: object, cache: str | os.PathLike[str] | None, write: bool) -> Path:
    """The local copy of a published store. Raises: SealedStore for writing; as `fetch_store`."""
    from lateint_store.remote.local_copies import local_copy

    if write:
        raise SealedStore(f"store {url} is published and cannot change; build another one, and publish it at another URL")
    return local_copy(str(url), cache)


def finish_sealing(path: str | os.PathLike[str]) -> bool:
    """Remove what a `seal` that was killed at its end left in a sealed store. Returns: False if the store is not sealed.

    A set is sealed once its manifest has the content digests of all members.
    Raises: StoreNotFound, DamagedStore, StoreError, StoreLocked.
    """
    folder = as_path(path)
    if (about := read_set(folder)) is not None:
        return all([finish_sealing(folder / member.path) and member.content_digest for member in about.members])
    manifest = read_manifest(folder)
    if manifest.sealed and sum(1 for _ in folder.iterdir()) > len(manifest.shards) + 2:  # manifest and lock
        lock = WriterLock(folder)
        try:
            remove_leftovers(lock, manifest)
        finally:
            lock.release()
    return manifest.sealed


def _complete(about: About) -> dict[str, Any]:
    absent = [name for name in ("model", "fingerprint", "head") if name not in about]
    unknown = sorted(set(about) - set(About.__annotations__))
    if absent or unknown:
        raise TypeError(f"create_store needs {', '.join(absent)}" if absent else f"create_store has no {unknown[0]!r}")
    return dict(about)


def claim_folder(folder: Path) -> WriterLock:
    """Create and lock a folder for a new store; remove the leftovers of an interrupted build.

    Raises: StoreError, StoreLocked.
    """
    with disk_errors(folder, "create"):
        make_folder(folder)
        known = {locking.LOCK_FILE, manifests.MANIFEST_FILE + ".draft"}
        foreign = [entry.name for entry in folder.iterdir() if entry.name not in known and not _is_shard(entry)]
    if foreign:
        raise StoreError(f"{folder} is not empty and not a new store (it contains {foreign[0]!r}); choose another folder")
    lock = WriterLock(folder)
    try:
        if (folder / manifests.MANIFEST_FILE).exists():
            raise StoreError(f"another process created a store at {folder}; run this again")
        remove_leftovers(lock, None)
    except BaseException:
        lock.release()
        raise
    return lock


def _create(lock: WriterLock, wanted: Manifest) -> None:
    """Create the first shard, then the manifest: a store exists once its manifest does."""
    shard, environment = create_shard(lock, wanted, State())
    try:
        folder = lock.folder()
        write_manifest(folder, with_shards(wanted, (shard,)))
        with disk_errors(folder, "create"):
            sync_folder(folder.absolute().parent)
    finally:
        release(environment)


def _is_shard(entry: Path) -> bool:
    return entry.is_dir() and not entry.is_symlink() and manifests.is_shard_name(entry.name)


def _continue(folder: Path, wanted: Manifest, kind: type[S]) -> S:
    """Open an existing store to continue its build. Raises: StoreMismatch, StoreError if its identity differs."""
    there = read_manifest(folder)
    if difference := differences(there, wanted):
        raise StoreMismatch(f"store {folder} was built with other states: {difference}; choose another folder")
    if difference := identity_difference(there, wanted):
        raise StoreError(f"store {folder} was built differently: {difference}; choose another folder, or delete the store")
    store = open_store(folder, write=not there.sealed, kind=kind)
    try:
        if store.manifest.uuid != there.uuid:
            raise StoreMismatch(f"store {folder} was replaced while it was opened; run this again")
        if not there.sealed:
            store.start_run()
    except BaseException:
        store.close()
        raise
    return store
