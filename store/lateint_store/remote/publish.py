"""Publish sealed stores and sets: their files first, under names made of their digests, then the publication, once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from lateint_store.arguments import as_path
from lateint_store.disk.killpoints import point
from lateint_store.errors import DamagedPublication, DamagedStore, StoreError, StoreMismatch
from lateint_store.format.content_digest import Content
from lateint_store.format.manifest import MANIFEST_FILE, Manifest
from lateint_store.format.set_manifest import SetManifest, read_set
from lateint_store.remote.local_files import parts_of, read_digests
from lateint_store.remote.objects import ObjectFolder, part_size
from lateint_store.remote.publication import (
    INDEX_PATH,
    PUBLICATION_FILE,
    Publication,
    RemoteFile,
    RemoteMember,
    find_publication,
    identity_of,
    joined_identity,
)
from lateint_store.shards.set_shards import SetShards
from lateint_store.shards.shards import Shards


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What is published at `url` now. `created`: False if the same content was published there before.

    `uploaded`, `kept`: bytes that were sent, and bytes that an earlier call had sent.
    """

    url: str
    publication: Publication
    created: bool
    uploaded: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class SealedFolder:
    """A sealed store on the disk: its manifest, its id index, and what a publication says of it but for its files."""

    folder: Path
    manifest: Manifest
    index: bytes
    about: Publication


def publish_store(path: str | os.PathLike[str], url: str) -> PublishResult:
    """Publish a sealed store, or a set whose members are all sealed, at a URL such as s3://bucket/path/name.

    Files that are there already are not sent again, so a call that was interrupted is repeated. Several processes may
    publish one store at once. The first publication at a URL stays; one of the same documents, model and codecs counts as
    the same, whichever build it comes from.
    Raises: StoreMismatch if something else is published there, and nothing is overwritten; StoreError for a store that is
    not sealed; DamagedStore if its bytes differ from those that were sealed; StoreNotFound, StoreFull, RemoteError,
    InputError, MissingExtra. Cost: reads every byte once, twice for what is sent.
    """
    folder, place = as_path(path), ObjectFolder(url)
    if read_set(folder) is not None:
        return _publish_local_set(folder, place)
    with closing(Shards(folder)) as shards:
        return _publish_single(_described(shards), place)


def read_publication(url: str) -> Publication | None:
    """What is published at a URL; None if nothing is. Cost: two small requests. Raises: DamagedPublication, RemoteError."""
    return find_publication(ObjectFolder(url))


def _described(shards: Shards) -> SealedFolder:
    """Everything about an open store but the digests of its files. Raises: StoreError if it is not sealed."""
    manifest = shards.manifest
    if not manifest.sealed:
        raise StoreError(
            f"store {shards.path} is not sealed, and only what cannot change is published: "
            f"run `lateint store seal {shards.path}`"
        )
    content = Content()
    with shards.reading() as snapshots:
        states = [snapshot.state() for snapshot in snapshots]
        index = b"".join(snapshot.entries("ids") for snapshot in snapshots)
    for state in states:
        content = content.joined(state.content)
    placeholder = (
        RemoteFile(MANIFEST_FILE, 0, "0" * 64),
        *(RemoteFile(f"{s.folder}/data.mdb", s.bytes, "0" * 64) for s in manifest.shards),
    )
    about = Publication(
        kind="store",
        uuid=manifest.uuid,
        documents=sum(state.live for state in states),
        content=content,
        identity=identity_of(manifest),
        source=states[-1].progress,
        shard=manifest.shard,
        files=placeholder,
        index=_index_file(index),
    )
    return SealedFolder(shards.path, manifest, index, about)


def _index_file(index: bytes) -> RemoteFile:
    return RemoteFile(INDEX_PATH, len(index), hashlib.sha256(index).hexdigest())


def _publish_single(store: SealedFolder, place: ObjectFolder) -> PublishResult:
    there = find_publication(place)
    _refuse_other(place, there, store.about)
    if there is not None and not _has_bytes_of(there, store):
        check_objects(place, there)  # of another build: only that one can complete it
        return PublishResult(str(place), there, created=False)
    wanted = there or replace(store.about, files=_hashed_files(store))
    uploaded = sum(_upload(place, file, store) for file in _everything(wanted))
    kept = sum(file.bytes for file in _everything(wanted)) - uploaded
    point("remote.before_publish")
    return replace(publish_once(place, wanted, there is None), uploaded=uploaded, kept=kept)


def _has_bytes_of(there: Publication, store: SealedFolder) -> bool:
    """True if the published files are those of this folder: the manifest of a sealed store pins all others."""
    return there.files[0].sha256 == read_digests(store.folder / MANIFEST_FILE).sha256.hexdigest()


def publish_once(place: ObjectFolder, wanted: Publication, absent: bool = True) -> PublishResult:
    """Write a publication unless one is there. Raises: StoreMismatch if another one is."""
    created = absent and place.put_once(PUBLICATION_FILE, wanted.to_bytes())
    there = wanted if created else find_publication(place)
    _refuse_other(place, there, wanted)
    return PublishResult(str(place), there or wanted, created)


def _refuse_other(place: ObjectFolder, there: Publication | None, wanted: Publication) -> None:
    if there is None or there.is_same(wanted):
        return
    described = [f"{each.kind} of {each.documents} documents [{each.content_digest[:12]}]" for each in (there, wanted)]
    if there.content_digest == wanted.content_digest:
        described = [
            f"{text} with settings [{each.identity[:12]}]" for text, each in zip(described, (there, wanted), strict=True)
        ]
    raise StoreMismatch(
        f"{place} has a {described[0]} already, and this is a {described[1]}; nothing is overwritten: publish at another URL"
    )


def _hashed_files(store: SealedFolder) -> tuple[RemoteFile, ...]:
    """The files of a store with their digests. Raises: DamagedStore if a shard is not what was sealed."""
    found: list[RemoteFile] = []
    for path in (MANIFEST_FILE, *(f"{shard.folder}/data.mdb" for shard in store.manifest.shards)):
        digests = read_digests(store.folder / path)
        number = len(found) - 1
        if number >= 0 and digests.file.hexdigest() != store.manifest.shards[number].file_digest:
            raise DamagedStore(str(store.folder), f"the bytes of {path} have changed since it was sealed", shard=number)
        found.append(RemoteFile(path, digests.count, digests.sha256.hexdigest()))
    return tuple(found)


def _everything(publication: Publication) -> Iterator[RemoteFile]:
    yield from publication.files
    if publication.index is not None:
        yield publication.index


def _upload(place: ObjectFolder, file: RemoteFile, store: SealedFolder) -> int:
    """Send a file unless an object of its name and size is there; return the bytes sent."""
    if place.size(file.object) == file.bytes:
        return 0
    if file.path == INDEX_PATH:
        parts = iter([store.index])
    else:
        parts = parts_of(store.folder / file.path, file, part_size(file.bytes))
    place.upload(file.object, parts, file.bytes)
    point("remote.uploaded")
    return file.bytes


def check_objects(place: ObjectFolder, publication: Publication) -> None:
    """Check that all objects of a store are there, with the right size. Raises: DamagedPublication."""
    for file in _everything(publication):
        size = place.size(file.object)
        if size != file.bytes:
            held = "missing" if size is None else f"{size} bytes long, expected {file.bytes}"
            raise DamagedPublication(str(place), f"object {file.object} ({file.path}) is {held}")


def _publish_local_set(folder: Path, place: ObjectFolder) -> PublishResult:
    """Publish the members of a set below its URL, then the set."""
    with closing(SetShards(folder)) as shards:
        stores = [_described(member) for member in shards.members]
        wanted = set_publication([store.about for store in stores], [_member_path(store) for store in stores], shards.about)
        there = find_publication(place)
        _refuse_other(place, there, wanted)
        if there is not None and there.uuid != wanted.uuid:
            return PublishResult(str(place), there, created=False)
        done = [_publish_single(store, place.child(_member_path(store))) for store in stores]
        wanted = set_publication([each.publication for each in done], [_member_path(store) for store in stores], shards.about)
        sent, kept = sum(each.uploaded for each in done), sum(each.kept for each in done)
        return replace(publish_once(place, wanted), uploaded=sent, kept=kept)


def _member_path(store: SealedFolder) -> str:
    return f"members/{store.manifest.uuid}"


def set_publication(members: Sequence[Publication], paths: Sequence[str], about: SetManifest) -> Publication:
    """The publication of a set of published stores at these paths."""
    content = Content()
    for member in members:
        content = content.joined(member.content)
    return Publication(
        kind="set",
        uuid=about.uuid,
        documents=sum(member.documents for member in members),
        content=content,
        identity=joined_identity([member.identity for member in members]),
        members=tuple(
            RemoteMember(path, member.uuid, member.content_digest, member.documents, member.digest)
            for path, member in zip(paths, members, strict=True)
        ),
        split=about.split,
    )
