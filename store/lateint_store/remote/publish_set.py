"""Publish a set over stores that are published already, without their bytes: manifests and id indexes are enough."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from hashlib import blake2b, sha256
from pathlib import Path

from lateint_store.arguments import as_strings
from lateint_store.errors import DamagedPublication, DuplicateDocument, InputError
from lateint_store.format.index import ENTRY_SIZE
from lateint_store.format.manifest import MAX_FILE_BYTES, Manifest, parse_description, parse_manifest
from lateint_store.format.set_manifest import Member, SetManifest
from lateint_store.remote.fetch import fetch_published
from lateint_store.remote.objects import ObjectFolder
from lateint_store.remote.publication import Publication, RemoteFile, required_publication
from lateint_store.remote.publish import PublishResult, check_objects, publish_once, set_publication
from lateint_store.shards.shards import Shards
from lateint_store.shards.together import alike_entries, check_all_there, check_finished, check_one_layout


def publish_set(url: str, members: Sequence[str]) -> PublishResult:
    """Publish stores that are published in the same bucket as a set, which opens as one, in this order.

    The checks are those of `create_set`: one model, one way to cut chunks, the same codecs, no id in two members, and all
    shards of a build, finished. The first publication at a URL stays; the same set again is no error.
    Raises: StoreMismatch, also if something else is published at `url`; DuplicateDocument; InputError for a member that is
    given twice, is a set, or is in another bucket; StoreError for shards that are missing; StoreNotFound for a member that
    is not published; DamagedPublication if objects of a member are missing. Cost: 12 bytes of transfer and of memory per
    document; if two ids look alike, both their members are fetched to compare them.
    """
    place = ObjectFolder(url)
    places = [ObjectFolder(member) for member in as_strings(members, "members", "URLs of published stores")]
    if not places:
        raise InputError("a set needs at least one member: name the URLs of published stores")
    found = [(source, required_publication(source)) for source in places]
    paths = [place.location.relative(source.location) for source in places]
    wanted = set_publication([publication for _, publication in found], paths, _manifest_of(found, paths))
    _check_together(found)
    return publish_once(place, wanted)


def _manifest_of(found: Sequence[tuple[ObjectFolder, Publication]], paths: Sequence[str]) -> SetManifest:
    """The manifest of the set; the same members give the same uuid. Raises: InputError for a set or one member twice."""
    for source, publication in found:
        if publication.kind != "store":
            raise InputError(f"{source} is a set, and the members of a set are stores: name its members")
    listed = [Member(path, publication.uuid) for path, (_, publication) in zip(paths, found, strict=True)]
    digests = "".join(publication.digest for _, publication in found)
    return SetManifest(uuid=blake2b(digests.encode(), digest_size=16).hexdigest(), members=tuple(listed))


def _check_together(found: Sequence[tuple[ObjectFolder, Publication]]) -> None:
    """Check that stores can open as one. Raises: as `publish_set`."""
    manifests = []
    for source, publication in found:
        check_objects(source, publication)
        manifests.append((str(source), _read_manifest(source, publication)))
    for following in manifests[1:]:
        check_one_layout(manifests[0], following)
    shards = [(str(source), each) for source, each in found if each.shard is not None]
    if shards:
        check_all_there("a set", [each.shard or (0, 1) for _, each in shards])
        check_finished([(name, each.source) for name, each in shards])
    for (one, first), (other, second) in alike_entries([_read_index(*each) for each in found]):
        ids = _read_ids([(*found[one], first), (*found[other], second)])
        if ids[0] == ids[1]:
            raise DuplicateDocument(f"document {ids[0].decode()!r} is in store {found[one][0]} and in {found[other][0]}")


def _read_manifest(source: ObjectFolder, publication: Publication) -> Manifest:
    text = _read_file(source, publication.files[0], MAX_FILE_BYTES)
    return parse_manifest(parse_description(text, str(source)), str(source))


def _read_index(source: ObjectFolder, publication: Publication) -> bytes:
    assert publication.index is not None  # of a store
    entries = _read_file(source, publication.index, publication.documents * ENTRY_SIZE)
    if len(entries) != publication.documents * ENTRY_SIZE:
        raise DamagedPublication(str(source), f"object {publication.index.object} has {len(entries)} bytes")
    return entries


def _read_file(source: ObjectFolder, file: RemoteFile, most: int) -> bytes:
    """Read a small file of a published store and check it. Raises: DamagedPublication."""
    data = source.read(file.object, most)
    if data is None or sha256(data).hexdigest() != file.sha256:
        held = "is missing" if data is None else f"has other bytes than were published, or more than {most:,}"
        raise DamagedPublication(str(source), f"object {file.object} ({file.path}) {held}")
    return data


def _read_ids(documents: Sequence[tuple[ObjectFolder, Publication, int]]) -> list[bytes]:
    """The ids of documents by ordinal, from copies of their stores that are fetched for it."""
    ids = []
    for source, publication, ordinal in documents:
        with tempfile.TemporaryDirectory(prefix="lateint-") as scratch:
            fetch_published(source, publication, Path(scratch) / "store")
            with closing(Shards(Path(scratch) / "store")) as shards, shards.reading() as snapshots:
                holder = next(each for each in reversed(snapshots) if each.state().first <= ordinal)
                ids.append(bytes(holder.record_header(ordinal).doc_id))
    return ids
