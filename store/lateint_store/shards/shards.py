"""The open shards of one store in this process. They follow the manifest and survive forks."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from lateint_store.disk.activity import active, exclusive
from lateint_store.disk.environment import Environment, acquire, begin, create_environment, forget, reading, release, retain
from lateint_store.disk.files import disk_errors, sync_folder
from lateint_store.disk.killpoints import point
from lateint_store.disk.lmdb_trees import STORED, TRANSACTION
from lateint_store.disk.location import Location, lmdb_errors
from lateint_store.disk.locking import WriterLock
from lateint_store.errors import DamagedStore, LateintError, StoreError, StoreMismatch
from lateint_store.format import manifest as manifests
from lateint_store.format import state as states
from lateint_store.format.block import BlockFormat
from lateint_store.format.manifest import Manifest, ShardFile, read_manifest
from lateint_store.format.state import State
from lateint_store.shards.snapshot import Snapshot

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

    All that is ever read or written belongs to the store that was opened first. Another store at the same path later is
    refused. `lock`: held by the store's only writer; None for a reader.
    Raises: StoreNotFound, DamagedStore, StoreError, StoreMismatch.
    """

    def __init__(self, path: Path, lock: WriterLock | None = None) -> None:
        self.path = path
        self.lock = lock
        self._file = str(path / manifests.MANIFEST_FILE)  # looked at by every call
        self.manifest: Manifest
        self.format: BlockFormat
        self._fixed: dict[str, object] | None = None
        self._open: list[tuple[Environment, Location]] = []
        self._pid = 0
        self._stamp: tuple[int, ...] | None = None
        self._closed = False
        self.refresh()
        weakref.finalize(self, forget, self._open).atexit = False

    @property
    def members(self) -> Sequence[Shards]:
        """The stores that these are the shards of: this one, or those of a set."""
        return (self,)

    @contextmanager
    def reading(self) -> Iterator[list[Snapshot]]:
        """Open one short read transaction on every shard, all of them before the first read."""
        with self.held() as shards, reading(shards) as transactions:
            opened = zip(shards, transactions, strict=True)
            yield [Snapshot(environment, location, self.format, transaction) for (environment, location), transaction in opened]

    @contextmanager
    def writing(self, number: int) -> Iterator[Snapshot]:
        """Open a write transaction on a shard: committed at the end of the `with` block, undone by an exception."""
        with self.held() as shards:
            self.writer().folder()
            environment, location = shards[number]
            with writing(environment, location, self.format) as snapshot:
                yield snapshot

    def writer(self) -> WriterLock:
        """The lock of the store's writer. Raises: StoreError if this process may only read the store."""
        if self._closed:
            raise StoreError(f"store {self.path} is closed")
        if self.lock is None:
            raise StoreError(f"store {self.path} was opened for reading; use open_store(path, write=True)")
        if self.lock.pid != os.getpid():
            raise StoreError(f"store {self.path} was opened for writing before a fork; only process {self.lock.pid} writes")
        return self.lock

    def writes_here(self) -> bool:
        """True if this process may change the store."""
        return self.lock is not None and self.lock.pid == os.getpid()

    def check(self) -> None:
        """Raise StoreMismatch if the path holds another store than the one that was opened, StoreNotFound if it holds none."""
        with self.held():
            pass

    def close(self) -> None:
        """Release the environments, then the writer's lock; open transactions finish first."""
        with exclusive():
            self._closed = True
            self._release_all()
        self.unlock()

    def unlock(self) -> None:
        """Let another process write."""
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    @contextmanager
    def held(self) -> Iterator[list[tuple[Environment, Location]]]:
        """Keep the shards that there are now open."""
        with exclusive():
            if self._closed:
                raise StoreError(f"store {self.path} is closed")
            if os.getpid() != self._pid or self._look() != self._stamp:
                self.refresh()
            shards = list(self._open)
            for environment, _ in shards:
                retain(environment)
        try:
            yield shards
        finally:
            for environment, _ in shards:
                release(environment)

    def _look(self) -> tuple[int, ...] | None:
        """A stamp that changes when the manifest file is replaced; None if there is no file."""
        try:
            status = os.lstat(self._file)
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size

    def refresh(self) -> None:
        """Open the shards that the manifest lists. If a compaction removes folders meanwhile, read the manifest again."""
        with exclusive():
            for _ in range(_ATTEMPTS):
                stamp = self._look()
                manifest = read_manifest(self.path)
                fixed = self._same_store(manifest)
                try:
                    opened = self._acquire_all(manifest)
                except StoreError as error:
                    if self._look() == stamp or not isinstance(error, DamagedStore):
                        raise
                    continue
                self._release_all()
                self._open.extend(opened)
                self._pid, self._stamp, self._fixed = os.getpid(), stamp, fixed
                self.manifest, self.format = manifest, block_format(manifest)
                return
        raise StoreError(f"store {self.path} changes faster than it can be opened; try again")

    def _same_store(self, manifest: Manifest) -> dict[str, object]:
        """The settings of a store that never change. Raises: StoreMismatch if they are not those of the store opened first."""
        fixed = manifest.fixed()
        known = fixed if self._fixed is None else self._fixed
        if differing := sorted(name for name in fixed if fixed[name] != known[name]):
            there, here = (str(settings["uuid"])[:12] for settings in (fixed, known))
            raise StoreMismatch(
                f"{self.path} holds another store now [{there}] than the one that was opened [{here}]: "
                f"{', '.join(differing)} differ. Close it, and open it again with the model that made it"
            )
        return fixed

    def _acquire_all(self, manifest: Manifest) -> list[tuple[Environment, Location]]:
        opened: list[tuple[Environment, Location]] = []
        try:
            for number in range(len(manifest.shards)):
                location = locate(self.path, manifest, number)
                opened.append((acquire(location, write=self.lock is not None and not manifest.sealed), location))
        except BaseException:
            for environment, _ in opened:
                release(environment)
            raise
        return opened

    def _release_all(self) -> None:
        for environment, _ in self._open:
            release(environment)
        self._open.clear()


@contextmanager
def writing(environment: Environment, location: Location, format: BlockFormat) -> Iterator[Snapshot]:
    """Open a write transaction with LMDB's default durability: after the `with` block, the data is on disk."""
    with active(), lmdb_errors(location, writing=True), begin(environment, write=True) as transaction:
        yield Snapshot(environment, location, format, transaction)
        transaction.put(TRANSACTION, STORED.pack(transaction.id()), db=environment.databases["state"])


def create_shard(lock: WriterLock, manifest: Manifest, state: State) -> tuple[ShardFile, Environment]:
    """Create a shard folder with an empty LMDB file and a state record. Nothing refers to it yet.

    The caller adds it to the manifest and releases the environment. Raises: StoreFull, StoreError, StoreMismatch.
    """
    path = lock.folder()
    shard = ShardFile(manifests.SHARD_NAME.format(max(_shard_folders(path), default=-1) + 1))
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


def remove_leftovers(lock: WriterLock, manifest: Manifest | None) -> None:
    """Delete the leftovers of an interrupted writer: drafts, and shard folders that the manifest does not list.

    Raises: StoreMismatch if the folder is another writer's now.
    """
    path, listed = lock.folder(), {shard.folder for shard in manifest.shards} if manifest else set()
    with disk_errors(path, "clean"):
        for draft in path.glob("*.draft"):
            draft.unlink()
        for folder in _shard_folders(path).values():
            if folder.name in listed:
                continue
            if folder.is_symlink() or not folder.is_dir():
                folder.unlink()
            else:
                shutil.rmtree(folder)


def _shard_folders(path: Path) -> dict[int, Path]:
    """Everything in a store's folder that has the name of a shard folder, by its number."""
    return {int(entry.name[6:]): entry for entry in path.iterdir() if manifests.is_shard_name(entry.name)}


def clean_up(lock: WriterLock, manifest: Manifest | None) -> None:
    """`remove_leftovers` after an error, which is what the caller raises."""
    with suppress(LateintError):
        remove_leftovers(lock, manifest)


def with_shards(manifest: Manifest, shards: tuple[ShardFile, ...], **changes: object) -> Manifest:
    """The manifest with another list of shards."""
    return replace(manifest, shards=shards, **changes)  # type: ignore[arg-type]
