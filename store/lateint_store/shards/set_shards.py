"""The open members of a store set: the same interface as the shards of one store, read in one go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from lateint_store.disk.activity import exclusive
from lateint_store.disk.environment import reading
from lateint_store.disk.locking import WriterLock
from lateint_store.errors import StoreError, StoreMismatch, StoreNotFound
from lateint_store.format.index import PREFIX_SIZE
from lateint_store.format.set_manifest import Member, SetManifest, read_set
from lateint_store.shards.shards import Shards
from lateint_store.shards.snapshot import Snapshot
from lateint_store.shards.together import check_distinct, check_one_layout

_HASHES = 1 << 8 * PREFIX_SIZE


class SetShards(Shards):
    """Opens every member that the manifest of a set lists, and reopens them when that manifest was replaced.

    Each member follows its own store. `lock`: held by the only process that changes the set; None for a reader. `about`: the
    manifest of the set. `manifest`: that of the first member, under the uuid of the set.
    Raises: StoreNotFound, StoreMismatch, StoreError, DamagedStore, DuplicateDocument.
    """

    def __init__(self, path: Path, lock: WriterLock | None = None) -> None:
        self._members: list[Shards] = []
        self.about: SetManifest
        super().__init__(path, lock)

    @property
    def members(self) -> Sequence[Shards]:
        """The shards of each member, in order."""
        return self._members

    @contextmanager
    def reading(self) -> Iterator[list[Snapshot]]:
        """Open one short read transaction on every shard of every member, all of them before the first read."""
        with ExitStack() as stack:
            with exclusive():
                if self._closed:
                    raise StoreError(f"store {self.path} is closed")
                if self._look() != self._stamp:
                    self.refresh()
                members, about = list(self._members), self.about
            yield stack.enter_context(_snapshots(members, about))

    def writing(self, number: int) -> NoReturn:
        """Refuse: a set has no shards of its own. Raises: StoreError."""
        raise StoreError(f"{self.path} is a set of stores: add and delete change its members, and each is built by itself")

    def check(self) -> None:
        """Raise StoreMismatch if a path holds another store or set than the one that was opened, StoreNotFound if none."""
        with self.reading():
            pass

    def close(self) -> None:
        """Close the members, then release the writer's lock."""
        with exclusive():
            self._closed = True
            for member in self._members:
                member.close()
        self.unlock()

    def refresh(self) -> None:
        """Open the members that the manifest lists."""
        with exclusive():
            stamp, about = self._look(), read_set(self.path)
            if about is None or (self._stamp is not None and about.uuid != self.about.uuid):
                there = "a single store" if about is None else f"another set [{about.uuid[:12]}]"
                raise StoreMismatch(f"{self.path} holds {there} now; close what is open, and open it again")
            opened = self._open_members(about)
            for member in self._members:
                member.close()
            self._members, self._stamp, self.about = opened, stamp, about
            first = opened[0].manifest
            self.format = opened[0].format
            self.manifest = replace(first, uuid=about.uuid, shard=None, shards=(), sealed=False, content_digest=None)

    def _open_members(self, about: SetManifest) -> list[Shards]:
        opened: list[Shards] = []
        try:
            for member in about.members:
                opened.append(self._open_member(member))
            check_members(about, opened)
        except BaseException:
            for shards in opened:
                shards.close()
            raise
        return opened

    def _open_member(self, member: Member) -> Shards:
        place = (self.path / member.path).resolve()
        try:
            shards = Shards(place)
        except StoreNotFound as error:
            raise StoreNotFound(
                f"store set {self.path} lacks its member {place}; put that store back, or publish a set without it"
            ) from error
        held = shards.manifest
        pinned = member.content_digest is None or held.content_digest == member.content_digest
        if held.uuid != member.uuid or not pinned:
            shards.close()
            there, wanted = (held.uuid, member.uuid) if held.uuid != member.uuid else ("other contents", member.content_digest)
            raise StoreMismatch(
                f"member {place} of store set {self.path} is not the store that was published [{wanted!s:.12}], but another "
                f"one [{there!s:.12}]; put that store back, or publish another set"
            )
        return shards


def check_members(about: SetManifest, members: Sequence[Shards]) -> None:
    """Check that stores can open as one: one model, one layout, no document twice or in the range of another member.

    Raises: StoreMismatch, StoreError, DuplicateDocument.
    """
    first = members[0]
    for member in members[1:]:
        check_one_layout((first.path, first.manifest), (member.path, member.manifest))
    with _snapshots(members, about) as snapshots:
        if about.split == "id":
            for snapshot in snapshots:
                _check_range(snapshot)
        elif any(member.content_digest is None for member in about.members):  # sealed ones were checked when published
            check_distinct([(snapshot.location.store, snapshot) for snapshot in snapshots])


@contextmanager
def _snapshots(members: Sequence[Shards], about: SetManifest) -> Iterator[list[Snapshot]]:
    with ExitStack() as stack:
        held = [(number, member, stack.enter_context(member.held())) for number, member in enumerate(members)]
        flat = [(number, member.format, shard) for number, member, shards in held for shard in shards]
        transactions = stack.enter_context(reading([shard for _, _, shard in flat]))
        snapshots = []
        for (number, format, (environment, location)), transaction in zip(flat, transactions, strict=True):
            snapshots.append(Snapshot(environment, location, format, transaction))
            if about.split == "id":
                snapshots[-1].owned = hash_range(number, len(members))
        yield snapshots


def hash_range(number: int, members: int) -> tuple[int, int]:
    """The first number of the id hash that a member owns, and the first one behind: what `owner_of` gives to it."""
    return -(-number * _HASHES // members), -(-(number + 1) * _HASHES // members)


def _check_range(snapshot: Snapshot) -> None:
    """Raise StoreError if a member of a split set holds an id of another one. Cost: reads both ends of the id index."""
    first, behind = snapshot.owned or (0, _HASHES)
    for entry in snapshot.outer_entries():
        if not first <= int.from_bytes(entry[:PREFIX_SIZE], "big") < behind:
            doc_id = snapshot.record_header(int.from_bytes(entry[PREFIX_SIZE:], "big")).doc_id.decode(errors="replace")
            raise StoreError(
                f"member {snapshot.location.store} of a set that is split by id holds document {doc_id!r}, which another "
                "member owns; delete it there, and add it through the set"
            )
