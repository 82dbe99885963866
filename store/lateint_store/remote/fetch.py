"""Fetch a published store or set: into a folder beside the target, checked byte by byte, then renamed as a whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lateint_store.arguments import as_path
from lateint_store.disk.files import disk_errors, make_folder, sync_file, sync_folder
from lateint_store.disk.killpoints import point
from lateint_store.disk.locking import waiting_lock
from lateint_store.errors import DamagedPublication, DamagedStore, StoreError, StoreFull
from lateint_store.format.manifest import MANIFEST_FILE, read_description, read_manifest
from lateint_store.format.set_manifest import Member, SetManifest, write_set
from lateint_store.remote.local_files import RunningDigests, read_digests
from lateint_store.remote.objects import PART, ObjectFolder
from lateint_store.remote.publication import Publication, RemoteFile, published_member, required_publication

_RANGES = 4  # that are read at once, and kept in memory
MemberFolder = Callable[[ObjectFolder, Publication, int], Path]
"""Where the member of a set is, once it is there: fetched inside of the set, or shared with others."""


def fetch_store(url: str, path: str | os.PathLike[str]) -> Path:
    """Fetch a published store or set to the folder `path`, which appears whole and checked, or not at all.

    A call that was interrupted continues: whole files are kept, a partial one goes on where it ended. If the folder holds
    what is published already, nothing is done. Returns: the folder.
    Raises: StoreNotFound if nothing is published; DamagedPublication naming the object, if one is missing or its bytes
    differ; StoreError if something else is at `path`; StoreFull, RemoteError, InputError, MissingExtra.
    """
    place, target = ObjectFolder(url), as_path(path)
    fetch_published(place, required_publication(place), target)
    return target


def fetch_published(
    place: ObjectFolder, publication: Publication, target: Path, member_folder: MemberFolder | None = None
) -> None:
    """Fetch a publication that was read. Several processes may call it for one target: one works, the others wait."""
    if _holds(target, publication):
        return
    partial = target.absolute().parent / f".{target.name}.{publication.digest[:16]}.partial"
    with disk_errors(target, "create"):
        make_folder(partial.parent)
    with waiting_lock(partial.with_suffix(".lock")):
        if not _holds(target, publication):
            with disk_errors(partial, "write"):
                partial.mkdir(exist_ok=True)
            _check_space(partial, publication)
            _fetch_into(place, publication, partial, member_folder)
            point("remote.before_rename")
            with disk_errors(target, "create"):
                partial.rename(target)
                sync_folder(partial.parent)
        partial.with_suffix(".lock").unlink(missing_ok=True)


def _holds(target: Path, publication: Publication) -> bool:
    """True if a folder holds the published store. Raises: StoreError if something else is there."""
    if not target.exists():
        return False
    if (target / MANIFEST_FILE).exists():
        data = read_description(target)
        held: object = data.get("content_digest")
        wanted: object = publication.content_digest
        if publication.kind == "set":
            held = [(member["uuid"], member["content_digest"]) for member in data.get("members", ())]
            wanted = [(member.uuid, member.content_digest) for member in publication.members]
        if (data.get("uuid"), held) == (publication.uuid, wanted):
            return True
    raise StoreError(f"{target} exists, and it is not the published store [{publication.uuid[:12]}]; choose another folder")


def _check_space(folder: Path, publication: Publication) -> None:
    """Raise StoreFull if the files of a store cannot fit."""
    there = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    free = shutil.disk_usage(folder).free
    wanted = publication.total_bytes - there
    if wanted > free:
        raise StoreFull(f"no space for {folder}: {wanted:,} bytes to fetch, {free:,} free; free some and run it again")


def _fetch_into(place: ObjectFolder, publication: Publication, folder: Path, member_folder: MemberFolder | None) -> None:
    if publication.kind == "store":
        _fetch_files(place, publication, folder)
        return
    members = []
    for number, member in enumerate(publication.members):
        source, child = published_member(place, member)
        if member_folder is None:
            inside = folder / "members" / f"{number:05d}"
            fetch_published(source, child, inside)
            path = inside.relative_to(folder)
        else:
            path = Path(os.path.relpath(member_folder(source, child, number), folder))
        members.append(Member(path.as_posix(), member.uuid, member.content_digest))
    write_set(folder, SetManifest(uuid=publication.uuid, members=tuple(members), split=publication.split))


def _fetch_files(place: ObjectFolder, publication: Publication, folder: Path) -> None:
    """Fetch the files of a store, and check that they are one. Raises: DamagedPublication."""
    recorded = {}
    for file in publication.files:
        with disk_errors(folder, "write"):
            (folder / file.path).parent.mkdir(exist_ok=True)
        recorded[file.path] = _fetch_file(place, file, folder / file.path)
        point("remote.fetched_file")
    try:
        manifest = read_manifest(folder)
    except (DamagedStore, StoreError) as error:
        raise DamagedPublication(str(place), f"object {publication.files[0].object}: {error}") from error
    shards = {f"{shard.folder}/data.mdb": shard.file_digest for shard in manifest.shards}
    listed = {file.path: recorded[file.path] for file in publication.files[1:]}
    described = (manifest.uuid, manifest.content_digest, shards)
    if not manifest.sealed or described != (publication.uuid, publication.content_digest, listed):
        raise DamagedPublication(str(place), f"{MANIFEST_FILE} does not describe the files that were published with it")
    with disk_errors(folder, "write"):
        for place_of in (*(folder / shard.folder for shard in manifest.shards), folder):
            sync_folder(place_of)


def _fetch_file(place: ObjectFolder, file: RemoteFile, path: Path) -> str:
    """Fetch one file; return the digest that a manifest records of it. Raises: DamagedPublication; StoreFull."""
    if path.exists():
        digests = read_digests(path)
        if digests.sha256.hexdigest() == file.sha256:
            return digests.file.hexdigest()
        path.unlink()
    _check_size(place, file)
    part = path.with_name(path.name + ".part")
    begun = part.exists() and part.stat().st_size > 0
    digests = _download(place, file, part)
    if begun and digests.sha256.hexdigest() != file.sha256:  # perhaps the begun part was torn: once more, from nothing
        part.unlink()
        digests = _download(place, file, part)
    if digests.sha256.hexdigest() != file.sha256:
        part.unlink()
        raise DamagedPublication(
            str(place),
            f"object {file.object} ({file.path}) has sha256 {digests.sha256.hexdigest()[:12]}, expected {file.sha256[:12]}; "
            f"nothing was published at {path.parent}",
        )
    with disk_errors(path, "write"):
        part.chmod(0o444)
        sync_file(part)
        part.replace(path)
    return digests.file.hexdigest()


def _check_size(place: ObjectFolder, file: RemoteFile) -> None:
    size = place.size(file.object)
    if size != file.bytes:
        held = "is missing" if size is None else f"has {size} bytes, expected {file.bytes}"
        raise DamagedPublication(str(place), f"object {file.object} ({file.path}) {held}")


def _download(place: ObjectFolder, file: RemoteFile, part: Path) -> RunningDigests:
    """Write the rest of a file behind what is there of it; return the digests of all of it."""
    digests = read_digests(part) if part.exists() else RunningDigests()
    if digests.count > file.bytes:
        part.unlink()
        digests = RunningDigests()
    with disk_errors(part, "write"), part.open("ab") as written:
        for data in _ranges(place, file, digests.count):
            written.write(data)
            written.flush()
            digests.update(data)
            point("remote.fetched_part")
    return digests


def _ranges(place: ObjectFolder, file: RemoteFile, start: int) -> Iterator[bytes]:
    """Yield the bytes of an object from `start` on, a few ranges read at once."""
    starts = range(start, file.bytes, PART)
    with ThreadPoolExecutor(min(_RANGES, max(1, len(starts)))) as threads:
        for first in range(0, len(starts), _RANGES):
            wanted = starts[first : first + _RANGES]
            yield from threads.map(lambda at: place.read_range(file.object, at, min(at + PART, file.bytes)), wanted)
