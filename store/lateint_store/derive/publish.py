"""Publish stores as a set that opens as one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from lateint_store.arguments import as_list, as_path
from lateint_store.disk.files import disk_errors, make_folder, sync_folder
from lateint_store.disk.locking import WriterLock
from lateint_store.errors import InputError, StoreError
from lateint_store.format.manifest import MANIFEST_FILE, is_shard_name
from lateint_store.format.set_manifest import Member, SetManifest, read_set, write_set
from lateint_store.shards.set_shards import check_members
from lateint_store.shards.shards import Shards
from lateint_store.shards.together import check_all_there, check_finished


def create_set(path: str | os.PathLike[str], members: Sequence[str | os.PathLike[str]]) -> None:
    """Publish stores as a set at the folder `path`; `open_store(path)` opens them as one, in this order.

    The stores stay where they are. The manifest of the set has their paths, relative to its folder, their uuids, and the
    content digests of those that are sealed. It appears as a whole, or not at all.
    Raises: StoreMismatch for stores of different models, chunks or codecs; DuplicateDocument for an id that two of them hold;
    InputError for a store that is given twice; StoreError if shards of a build are missing, unfinished or of another source,
    and if something is published at `path` already. Cost: that of opening
    the stores, and 12 bytes of memory per document.
    """
    folder = as_path(path)
    places = [as_path(member, "members") for member in as_list(members, "members", "paths of stores")]
    if not places:
        raise InputError("a set needs at least one store")
    _refuse_published(folder)
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(Shards(place))) for place in places]
        about = check_together(folder, opened)
        publish_set(stack.enter_context(claimed(folder)), about)


def extend_set(path: str | os.PathLike[str], members: Sequence[str | os.PathLike[str]]) -> None:
    """Add stores behind the members of a published set. Whoever has it open follows.

    Raises: as `create_set`; StoreError for a single store, and for a set that is split by id; StoreLocked.
    """
    folder = as_path(path)
    places = [as_path(member, "members") for member in as_list(members, "members", "paths of stores")]
    about = read_set(folder)
    if about is None or about.split is not None:
        reason = "a single store" if about is None else "split by id, so that its number of members is fixed"
        raise StoreError(f"{folder} is {reason}; publish another set")
    with ExitStack() as stack:
        lock = WriterLock(folder)
        stack.callback(lock.release)
        about = read_set(folder) or about  # another process may have extended it before the lock was held
        everywhere = [*(folder / member.path for member in about.members), *places]
        opened = [stack.enter_context(closing(Shards(place))) for place in everywhere]
        write_set(lock.folder(), replace(check_together(folder, opened), uuid=about.uuid))


def check_together(folder: Path, members: Sequence[Shards], split: str | None = None) -> SetManifest:
    """The manifest of a set of open stores, none of them trusted. Raises: as `create_set`."""
    base = folder.resolve()
    listed = [Member(os.path.relpath(shards.path.resolve(), base), shards.manifest.uuid) for shards in members]
    about = SetManifest(uuid=uuid4().hex, members=tuple(listed), split=split)
    check_members(about, members)
    _check_build(members)
    pinned = [
        replace(member, content_digest=shards.manifest.content_digest) for member, shards in zip(listed, members, strict=True)
    ]
    return replace(about, members=tuple(pinned))


def _check_build(members: Sequence[Shards]) -> None:
    """Check that the shards of a build are all there and finished. Raises: StoreError."""
    shards = [member for member in members if member.manifest.shard is not None]
    if not shards:
        return
    check_all_there("a set", [member.manifest.shard or (0, 1) for member in shards])
    progress = []
    for member in shards:
        with member.reading() as snapshots:
            progress.append((member.path, snapshots[-1].state().progress))
    check_finished(progress)


@contextmanager
def claimed(folder: Path) -> Iterator[WriterLock]:
    """Create and lock a folder for a new set. Raises: StoreError if there is a store or a set; StoreLocked."""
    _refuse_published(folder)
    with disk_errors(folder, "create"):
        make_folder(folder)
        begun = sorted(entry.name for entry in folder.iterdir() if is_shard_name(entry.name))
    if begun:
        raise StoreError(f"{folder} holds {begun[0]!r} of a store whose build was interrupted; choose another folder")
    lock = WriterLock(folder)
    try:
        _refuse_published(folder)
        yield lock
    finally:
        lock.release()


def publish_set(lock: WriterLock, about: SetManifest) -> None:
    """Write the manifest of a set into a claimed folder. Raises: StoreFull, StoreMismatch."""
    folder = lock.folder()
    write_set(folder, about)
    with disk_errors(folder, "create"):
        sync_folder(folder.absolute().parent)


def _refuse_published(folder: Path) -> None:
    if (folder / MANIFEST_FILE).exists():
        raise StoreError(f"{folder} holds a store or a set already, and nothing is published twice; choose another folder")
