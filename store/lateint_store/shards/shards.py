"""The open shards of one store in this process. They follow the manifest and survive forks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from lateint_store.disk.environment import (
    Environment,
    Location,
    acquire,
    active,
    create_environment,
    exclusive,
    lmdb_errors,
    release,
    retain,
)
from lateint_store.disk.files import disk_errors, sync_folder
from lateint_store.disk.killpoints import point
from lateint_store.disk.lmdb_trees import STORED, TRANSACTION
from lateint_store.errors import DamagedStore, StoreError
from lateint_store.format import manifest as manifests
from lateint_store.format import state as states
from lateint_store.format.block import BlockFormat
from lateint_store.format.manifest import Manifest, ShardFile, read_manifest
from lateint_store.format.state import State
from lateint_store.shards.snapshot import Snapshot

FOLDER = "shard-{:04d}"
_ATTEMPTS = 5


def locate(path: Path, manifest: Manifest, number: int) -> Location:
    """The location of shard `number`."""
    shard = manifest.shards[number]
    sealed = (shard.bytes, shard.structure_digest) if manifest.sealed else None
    return Location(path, path / shard.folder, number, manifest.map_size, sealed)


def block_format(manifest: Manifest) -> BlockFormat:
    """The block format of a store."""
    return BlockFormat(bytes.fromhex(manifest.uuid), len(manifest.specs))


class Shards:
    """Opens every shard that the manifest lists, and reopens them after a fork or when the manifest was replaced.

    Raises: StoreNotFound, DamagedStore, StoreError.
    """

    def __init__(self, path: Path, *, write: bool = False) -> None:
        self.path = path
        self._write = write
        self.manifest: Manifest
        self.format: BlockFormat
        self._open: list[tuple[Environment, Location]] = []
        self._pid = 0
        self._stamp: tuple[int, int, int] | None = None
        self._closed = False
        with exclusive():
            self.refresh()

    @contextmanager
    def reading(self) -> Iterator[list[Snapshot]]:
        """Open one short read transaction on every shard, all of them before the first read."""
        with self._held() as shards, ExitStack() as stack:
            stack.enter_context(active())
            snapshots = []
            for environment, location in shards:
                with lmdb_errors(location):
                    transaction = stack.enter_context(environment.env.begin(buffers=True))
                snapshots.append(Snapshot(environment, location, self.format, transaction))
            yield snapshots

    @contextmanager
    def writing(self, number: int) -> Iterator[Snapshot]:
        """Open a write transaction on a shard: committed at the end of the `with` block, undone by an exception."""
        with self._held() as shards:
            environment, location = shards[number]
            with writing(environment, location, self.format) as snapshot:
                yield snapshot

    def close(self) -> None:
        """Release the environments; open transactions finish first."""
        with exclusive():
            self._closed = True
            self._release_all()

    @contextmanager
    def _held(self) -> Iterator[list[tuple[Environment, Location]]]:
        with exclusive():
            if self._closed:
                raise StoreError(f"store {self.path} is closed")
            if os.getpid() != self._pid or (not self.manifest.sealed and self._look() != self._stamp):
                self.refresh()
            shards = list(self._open)
            for environment, _ in shards:
                retain(environment)
        try:
            yield shards
        finally:
            for environment, _ in shards:
                release(environment)

    def _look(self) -> tuple[int, int, int] | None:
        """A stamp that changes when the manifest file is replaced; None if there is no file."""
        try:
            status = (self.path / manifests.MANIFEST_FILE).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def refresh(self) -> None:
        """Open the shards that the manifest lists. If a compaction removes folders meanwhile, read the manifest again."""
        for _ in range(_ATTEMPTS):
            stamp = self._look()
            manifest = read_manifest(self.path)
            opened: list[tuple[Environment, Location]] = []
            try:
                for number in range(len(manifest.shards)):
                    location = locate(self.path, manifest, number)
                    opened.append((acquire(location, write=self._write and not manifest.sealed), location))
            except StoreError as error:
                for environment, _ in opened:
                    release(environment)
                if self._look() == stamp or not isinstance(error, DamagedStore):
                    raise
                continue
            self._release_all()
            self._open, self._pid, self._stamp = opened, os.getpid(), stamp
            self.manifest, self.format = manifest, block_format(manifest)
            return
        raise StoreError(f"store {self.path} changes faster than it can be opened; try again")

    def _release_all(self) -> None:
        for environment, _ in self._open:
            release(environment)
        self._open = []


@contextmanager
def writing(environment: Environment, location: Location, format: BlockFormat) -> Iterator[Snapshot]:
    """Open a write transaction with LMDB's default durability: after the `with` block, the data is on disk."""
    with active(), lmdb_errors(location, writing=True), environment.env.begin(write=True, buffers=True) as transaction:
        yield Snapshot(environment, location, format, transaction)
        transaction.put(TRANSACTION, STORED.pack(transaction.id()), db=environment.databases["state"])


def create_shard(path: Path, manifest: Manifest, state: State) -> tuple[ShardFile, Environment]:
    """Create a shard folder with an empty LMDB file and a state record. Nothing refers to it yet.

    The caller adds it to the manifest and releases the environment. Raises: StoreFull, StoreError.
    """
    taken = [int(folder.name.rpartition("-")[2]) for folder in path.glob(FOLDER.format(0)[:-4] + "[0-9]*")]
    shard = ShardFile(FOLDER.format(max(taken, default=-1) + 1))
    location = Location(path, path / shard.folder, len(manifest.shards), manifest.map_size)
    environment = create_environment(location)
    try:
        with writing(environment, location, block_format(manifest)) as snapshot:
            put_state(snapshot, state)
        with disk_errors(path, "write"):
            sync_folder(location.folder)
            sync_folder(path)
    except BaseException:
        release(environment)
        shutil.rmtree(location.folder, ignore_errors=True)
        raise
    point("create.shard")
    return shard, environment


def put_state(snapshot: Snapshot, state: State) -> None:
    """Write the state record of a shard."""
    data = state.to_bytes(snapshot.format.uuid)
    snapshot.transaction.put(states.STATE_KEY, data, db=snapshot.environment.databases["state"])


def remove_leftovers(path: Path, manifest: Manifest | None) -> None:
    """Delete the leftovers of an interrupted writer: drafts, and shard folders that the manifest does not list."""
    listed = {shard.folder for shard in manifest.shards} if manifest else set()
    with disk_errors(path, "clean"):
        for draft in path.glob("*.draft"):
            draft.unlink()
        for folder in path.glob(FOLDER.format(0)[:-4] + "[0-9]*"):
            if folder.name not in listed:
                shutil.rmtree(folder)


def with_shards(manifest: Manifest, shards: tuple[ShardFile, ...], **changes: object) -> Manifest:
    """The manifest with another list of shards."""
    return replace(manifest, shards=shards, **changes)  # type: ignore[arg-type]
