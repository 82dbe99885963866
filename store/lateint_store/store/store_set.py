"""`StoreSet`: several stores that open as one. Reads see all members; a change goes to the member that it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from lateint_store.arguments import as_list, check_kind
from lateint_store.disk.files import allocated_bytes
from lateint_store.disk.locking import WriterLock
from lateint_store.errors import DuplicateDocument, MissingDocument, SealedStore, StoreError
from lateint_store.format.ids import encode_all
from lateint_store.format.set_manifest import write_set
from lateint_store.format.state import SourceProgress, State
from lateint_store.shards.set_shards import SetShards
from lateint_store.store.store import Store
from lateint_store.writing.entry import Entry, encode_ids
from lateint_store.writing.notes import deletion
from lateint_store.writing.set_change import SetChange, last_change


class StoreSet(Store):
    """An open set of stores, made by `create_set` or `split`. Reads as one store that holds the documents of all members.

    Its order is that of the members, each in its own order. Opened for writing, it has its members that are not sealed open for
    writing. Raises: as `Store`; also if its members do not belong together (see `create_set`).
    """

    kind: ClassVar[type[Store]] = Store
    """The class of an open member."""
    _shards: SetShards

    def _open(self, lock: WriterLock | None) -> SetShards:
        self._stores: list[Store] = []  # the members, if the set is open for writing
        return SetShards(self.path, lock)

    def _begin_writing(self, lock: WriterLock) -> None:
        try:
            for member in self._shards.members:
                self._stores.append(self._open_member(member.path, member.manifest.sealed))
        except BaseException:
            self.close()
            raise

    def _open_member(self, path: Path, sealed: bool) -> Store:
        if sealed:
            return self.kind(path)
        lock = WriterLock(path)
        try:
            return self.kind(path, lock)
        except BaseException:
            lock.release()
            raise

    # Description

    @property
    def members(self) -> list[Path]:
        """The folders of the members, in order."""
        return [member.path for member in self._shards.members]

    @property
    def split(self) -> str | None:
        """The rule by which the members divide the documents: "id", "document", or None for no rule."""
        return self._shards.about.split

    @property
    def sealed(self) -> bool:
        """True if all members are sealed."""
        return all(member.manifest.sealed for member in self._shards.members)

    @property
    def progress(self) -> SourceProgress:
        """How far the source was read, if all members are shards of one build that have read equally far; else nothing."""
        return _joined_progress(self._states_by_member())

    def info(self) -> dict[str, Any]:
        """The data that `lateint store info` prints, JSON-able: that of a store, and `members` and `split`."""
        found, by_member, about = super().info(), self._states_by_member(), self._shards.about
        progress = _joined_progress(by_member)
        size = sum(map(allocated_bytes, self.members))
        members = [
            {"path": listed.path, "documents": sum(state.live for state in states), "sealed": shards.manifest.sealed}
            for listed, shards, states in zip(about.members, self._shards.members, by_member, strict=True)
        ]
        return found | {
            "bytes": size,
            "bytes_per_document": round(size / found["documents"], 1) if found["documents"] else None,
            "encoded_by_last_run": sum(states[-1].last_run for states in by_member),
            "progress": {name: getattr(progress, name) for name in SourceProgress.__slots__},
            "sealed": self.sealed,
            "shards": sum(map(len, by_member)),
            "members": members,
            "split": about.split,
        }

    def _states_by_member(self) -> list[list[State]]:
        with self._shards.reading() as snapshots:
            return [
                [snapshot.state() for snapshot in held]
                for _, held in groupby(snapshots, key=lambda snapshot: snapshot.location.store)
            ]

    # Changing

    def add(self, entries: Iterable[Entry]) -> None:
        """Add documents: to the members that own them, or to the last member that is not sealed.

        Raises: DuplicateDocument and SealedStore before anything changes; as `Store.add`.
        """
        entries = as_list(entries, "entries", "entries")
        with self._changing():
            encode_ids(entries)
            ids = [entry.id for entry in entries]
            if there := self.fetch(ids, arrays=(), missing="skip").ids:
                raise DuplicateDocument(f"document {there[0]!r} is already in store set {self.path}")
            for store, places in self._receivers(ids):
                store.add([entries[place] for place in places])

    def delete(self, ids: Iterable[str], *, again: bool = False) -> None:
        """Delete documents from the members that hold them; their bytes stay until `compact`.

        If a call was interrupted, the same call completes it; `again` as in `Store.delete`.
        Raises: MissingDocument and SealedStore before anything changes.
        """
        ids = as_list(ids, "ids", "ids")
        check_kind(again, "again", bool, "True or False")
        with self._changing():
            note, last = deletion(ids).hex(), last_change(self.path)
            if again and last == SetChange(note, self.content_digest()):
                return
            held = [(store, store.held(ids)) for store in self._stores]
            absent = set(ids).difference(*(found for _, found in held))
            if absent and last != SetChange(note):
                raise MissingDocument(f"store set {self.path} holds no document {sorted(absent)[:3]!r}")
            self._refuse_sealed([store for store, found in held if found])
            folder = self._shards.writer().folder()
            SetChange(note).write(folder)
            for store, found in held:
                if found:
                    store.delete(sorted(found))
            SetChange(note, self.content_digest()).write(folder)

    def compact(self) -> None:
        """Rewrite each member that is not sealed, as `Store.compact`."""
        with self._changing():
            for store in self._stores:
                if not store.sealed:
                    store.compact()

    def seal(self) -> None:
        """Seal each member, as `Store.seal`, and record their content digests in the manifest of the set."""
        self._shards.writer()
        with self._turn:
            for store in self._stores:
                if not store.sealed:
                    store.seal()
            about = self._shards.about
            digests = [store.content_digest() for store in self._stores]
            members = (replace(member, content_digest=digest) for member, digest in zip(about.members, digests, strict=True))
            write_set(self._shards.writer().folder(), replace(about, members=tuple(members)))
            self._shards.refresh()
            self._shards.unlock()

    def close(self) -> None:
        """Close the set and its members."""
        super().close()
        for store in self._stores:
            store.close()

    def _write(self, *_: object) -> NoReturn:
        raise StoreError(
            f"{self.path} is a set of stores, and each is built by itself; build another one, and extend the set by it"
        )

    def _receivers(self, ids: Sequence[str]) -> list[tuple[Store, list[int]]]:
        """The members that entries with these ids belong to, each with the places of its ids. Raises: SealedStore."""
        about = self._shards.about
        if about.split is None:
            last = [store for store in self._stores if not store.sealed][-1:]
            return [(store, list(range(len(ids)))) for store in last if ids]
        places: dict[int, list[int]] = {}
        for place, owner in enumerate(about.owners(encode_all(ids))):
            places.setdefault(owner, []).append(place)
        self._refuse_sealed([self._stores[owner] for owner in places])
        return [(self._stores[owner], places[owner]) for owner in sorted(places)]

    def _refuse_sealed(self, stores: Sequence[Store]) -> None:
        for store in stores:
            if store.sealed:
                raise SealedStore(
                    f"member {store.path} of store set {self.path} is sealed and cannot change; build another one"
                )


def _joined_progress(by_member: Sequence[Sequence[State]]) -> SourceProgress:
    """The progress of a build from that of its shards; nothing if they have not read the same."""
    each = [states[-1].progress for states in by_member]
    if len({(progress.source_position, progress.source_digest) for progress in each}) > 1:
        return SourceProgress()
    return replace(
        each[0], documents=sum(progress.documents for progress in each), windows=sum(progress.windows for progress in each)
    )
