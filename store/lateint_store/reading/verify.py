"""Read everything in a store and list all damage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lateint_store.arguments import as_path
from lateint_store.disk import lmdb_pages as pages
from lateint_store.disk.environment import acquire, reading, release
from lateint_store.disk.location import Location, lmdb_errors
from lateint_store.errors import CodecError, DamagedStore, InputError, LateintError, StoreError, StoreMismatch
from lateint_store.format.block import Block, BlockError
from lateint_store.format.content_digest import Content, document_digest, joined_digest
from lateint_store.format.index import entries_digest, make_entry
from lateint_store.format.manifest import Manifest, read_manifest
from lateint_store.format.set_manifest import SetManifest, read_set
from lateint_store.format.state import State
from lateint_store.shards.set_shards import SetShards
from lateint_store.shards.shards import block_format, locate
from lateint_store.shards.snapshot import Snapshot
from lateint_store.spec import check_finite


@dataclass(frozen=True, slots=True)
class Problem:
    """One piece of damage and its location, as far as it is known."""

    reason: str
    shard: int | None = None
    ordinal: int | None = None
    doc_id: str | None = None


@dataclass(slots=True)
class Report:
    """The result of `verify`. `documents`, `blocks`: numbers of those without a problem of their own."""

    store: str
    documents: int = 0
    blocks: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True if there is no problem."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self) | {"ok": self.ok}

    def add(self, error: DamagedStore) -> None:
        """Add the problem that an error describes."""
        self.problems.append(Problem(error.reason, error.shard, error.ordinal, error.doc_id))


def verify_store(path: str | os.PathLike[str], uuid: str | None = None) -> Report:
    """Check manifest, files, blocks, records, arrays, index, counters and content digest of a store.

    Never raises on damage. Raises: StoreNotFound; StoreError if the store cannot be read for another reason;
    StoreMismatch if the path holds a store of another `uuid`.
    """
    folder = as_path(path)
    report = Report(str(folder))
    try:
        about = read_set(folder)
        if about is not None:
            _refuse_other(folder, uuid, about.uuid)
            _verify_set(folder, about, report)
            return report
        manifest = read_manifest(folder)
    except DamagedStore as error:
        report.add(error)
        return report
    _refuse_other(folder, uuid, manifest.uuid)
    _verify_single(folder, manifest, report)
    return report


def _verify_single(folder: Path, manifest: Manifest, report: Report) -> None:
    """Check the shards of one store."""
    contents: list[Content] = []
    expected = 0
    for number in range(len(manifest.shards)):
        state = verify_shard(manifest, locate(folder, manifest, number), report)
        if state is None:
            continue
        contents.append(state.content)
        if state.first != expected and len(contents) == number + 1:
            report.problems.append(Problem(f"starts with ordinal {state.first}, expected {expected}", number))
        expected = state.end
    if report.ok and manifest.content_digest not in (None, joined_digest(contents)):
        report.problems.append(Problem("the content digest has changed since the store was sealed"))


def _refuse_other(folder: Path, opened: str | None, there: str) -> None:
    if opened not in (None, there):
        raise StoreMismatch(f"{folder} holds another store now [{there[:12]}] than the one that was opened [{opened:.12}]")


def _verify_set(folder: Path, about: SetManifest, report: Report) -> None:
    """Check each member, then whether they belong together; problems begin with the path of the member."""
    for member in about.members:
        try:
            found = Report(str(folder / member.path))
            _verify_single(folder / member.path, read_manifest(folder / member.path), found)
        except DamagedStore as error:
            found.add(error)
        except LateintError as error:
            report.problems.append(Problem(f"member {member.path}: {error}"))
            continue
        report.documents += found.documents
        report.blocks += found.blocks
        report.problems += [replace(problem, reason=f"member {member.path}: {problem.reason}") for problem in found.problems]
    if not report.ok:
        return
    try:
        with closing(SetShards(folder)) as shards, shards.reading() as snapshots:
            numbers = {member.path: number for number, member in enumerate(shards.members)}
            for snapshot in snapshots if about.split == "document" else ():
                _check_owned(snapshot, about, numbers[snapshot.location.store], report)
    except LateintError as error:
        report.problems.append(Problem(str(error)))


def _check_owned(snapshot: Snapshot, about: SetManifest, number: int, report: Report) -> None:
    """Find the live documents that another member owns."""
    gone = set(snapshot.deleted().tolist())
    for block in snapshot.blocks():
        ordinals = [at for at in range(block.first, block.first + block.count) if at not in gone]
        ids = [block.record_header(ordinal).doc_id for ordinal in ordinals]
        for ordinal, doc_id, owner in zip(ordinals, ids, about.owners(ids), strict=True):
            if owner != number:
                reason = f"member {about.members[number].path}: member {about.members[owner].path} owns this document"
                report.problems.append(Problem(reason, snapshot.location.shard, ordinal, doc_id.decode()))


def verify_shard(manifest: Manifest, location: Location, report: Report) -> State | None:
    """Check one shard and add its problems to `report`; return its state, or None if it cannot be read."""
    try:
        environment = acquire(location)
    except DamagedStore as error:
        report.add(error)
        return None
    try:
        _check_file(manifest, location, report)
        with lmdb_errors(location), reading([(environment, location)]) as (transaction,):
            snapshot = Snapshot(environment, location, block_format(manifest), transaction)
            state = snapshot.state()
            _Check(snapshot, manifest, state, report).run()
            return state
    except DamagedStore as error:
        report.add(error)
        return None
    finally:
        release(environment)


def _check_file(manifest: Manifest, location: Location, report: Report) -> None:
    """Compare the file of a sealed shard with its digest."""
    if not manifest.sealed:
        return
    try:
        if pages.file_digest(location.data) != manifest.shards[location.shard].file_digest:
            report.problems.append(Problem(f"the bytes of {location.data} have changed since it was sealed", location.shard))
    except OSError as error:
        raise StoreError(f"cannot read {location.data}: {error}") from error


@dataclass(slots=True)
class _Check:
    """The walk over one shard and what it has found so far."""

    snapshot: Snapshot
    manifest: Manifest
    state: State
    report: Report
    entries: dict[bytes, str] = field(default_factory=dict)
    tokens: int = 0
    content: Content = field(default_factory=Content)
    intact: bool = True

    def run(self) -> None:
        """Walk the blocks, then compare index, counters and content."""
        gone = self._deleted()
        expected = self.state.first
        for ordinal in self.snapshot.block_ordinals():
            if ordinal != expected:
                self._problem(f"ordinals {expected} to {ordinal - 1} are in no block", expected)
            expected = self._block(ordinal, gone)
        if expected != self.state.end:
            self._problem(f"blocks end at ordinal {expected}, expected {self.state.end}", expected)
        self._index()
        if self.intact:
            self._totals()

    def _deleted(self) -> set[int]:
        try:
            return set(self.snapshot.deleted().tolist())
        except DamagedStore as error:
            self._note(error)
            return set()

    def _block(self, ordinal: int, gone: set[int]) -> int:
        """Check one block; return the ordinal after it."""
        try:
            block = self.snapshot.block(ordinal)
        except DamagedStore as error:
            self._note(error)
            following = (at for at in self.snapshot.block_ordinals(ordinal + 1))
            return next(following, self.state.end)
        healthy = True
        for at in range(block.first, block.first + block.count):
            try:
                doc_id, digest, rows = self._document(block, at)
            except DamagedStore as error:
                self._note(error)
                healthy = False
                continue
            if at not in gone:
                self.entries[make_entry(doc_id.encode(), at)] = doc_id
                self.tokens += rows
                self.content = self.content.append(doc_id, digest)
                self.report.documents += 1
        try:
            block.check_digest()
            self.report.blocks += healthy
        except BlockError as error:
            if healthy:
                self._problem(str(error), ordinal)
        return block.first + block.count

    def _document(self, block: Block, ordinal: int) -> tuple[str, bytes, int]:
        """Decode one document; return its id, content digest and rows. Raises: DamagedStore."""
        header = self.snapshot.record_header(ordinal)
        doc_id = header.doc_id.decode(errors="replace")
        arrays = []
        for column, name in enumerate(self.manifest.arrays):
            pipeline = self.manifest.specs[name]
            payload = self.snapshot.payloads(ordinal, header, (column,))[0]
            try:
                data = bytes(pipeline.unpack(payload, header.rows))
                decoded = pipeline.decode(payload, header.rows)
                if pipeline.spec_out.is_float:
                    check_finite(decoded.reshape(-1, 1))
            except (CodecError, InputError) as error:
                raise self.snapshot.location.damaged(f"array {name!r}: {error}", ordinal, doc_id) from error
            arrays.append(data)
        return doc_id, document_digest(header.doc_id, arrays), header.rows

    def _index(self) -> None:
        """Check that every live document has its index entry, and that there are no other entries."""
        stored = self.snapshot.entries("ids")
        if entries_digest(stored) != self.state.index:
            self._problem("the id index does not match its digest")
        found = {stored[at : at + 12] for at in range(0, len(stored), 12)}
        for entry, doc_id in self._missing_entries(found):
            self._problem("the id index does not hold this document", int.from_bytes(entry[7:], "big"), doc_id)
        if self.intact and len(found) != len(self.entries):
            self._problem(f"the id index has {len(found)} entries for {len(self.entries)} documents")

    def _missing_entries(self, found: set[bytes]) -> Iterator[tuple[bytes, str]]:
        return ((entry, doc_id) for entry, doc_id in self.entries.items() if entry not in found)

    def _totals(self) -> None:
        if (self.state.live, self.state.tokens) != (len(self.entries), self.tokens):
            self._problem(
                f"{len(self.entries)} documents with {self.tokens} tokens, recorded {self.state.live} with {self.state.tokens}"
            )
        if self.state.content != self.content:
            self._problem("the content digest does not match")

    def _note(self, error: DamagedStore) -> None:
        self.intact = False
        self.report.add(error)

    def _problem(self, reason: str, ordinal: int | None = None, doc_id: str | None = None) -> None:
        self.intact = False
        self.report.problems.append(Problem(reason, self.snapshot.location.shard, ordinal, doc_id))
