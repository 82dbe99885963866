"""Objects, files and members that are not what they should be: each is named, and nothing is published or left behind."""

import json
import shutil

import pytest

from lateint_store import fetch_store, open_store, publish_set, publish_store, read_publication, recode
from lateint_store.codecs.syntax import parse_codecs
from lateint_store.errors import (
    DamagedPublication,
    DamagedStore,
    DuplicateDocument,
    InputError,
    StoreError,
    StoreMismatch,
    StoreNotFound,
)
from lateint_store.remote import publish
from lateint_store.remote.objects import ObjectFolder
from tests.support.remote import sealed


def overwrite(url, name, data):
    place = ObjectFolder(url)
    place.upload(name, iter([data]), len(data))


def change(url, name):
    data = bytearray(ObjectFolder(url).read(name, 1 << 30))
    data[len(data) // 2] ^= 1
    overwrite(url, name, bytes(data))


@pytest.mark.parametrize("number", range(4))
def test_a_changed_object_is_named_and_nothing_is_made(stores, url, tmp_path, number):
    damaged = publish_store(stores / "whole", url).publication.files[number]
    change(url, damaged.object)
    for call in (lambda: fetch_store(url, tmp_path / "copy"), lambda: open_store(url, cache=tmp_path / "cache")):
        with pytest.raises(DamagedPublication, match="sha256") as caught:
            call()
        assert damaged.object in str(caught.value) and damaged.path in str(caught.value) and url in str(caught.value)
    assert not (tmp_path / "copy").exists() and not [e for e in (tmp_path / "cache").iterdir() if e.name[0] != "."]


def test_publishing_again_repairs_a_deleted_object(stores, local, tmp_path):
    gone = publish_store(stores / "whole", local).publication.files[1]
    (tmp_path / "objects" / gone.object).unlink()
    with pytest.raises(DamagedPublication, match="is missing"):
        fetch_store(local, tmp_path / "copy")
    with pytest.raises(DamagedPublication, match="is missing"):
        publish_store(sealed(tmp_path / "rebuilt", 150, documents_per_shard=64), local)
    assert publish_store(stores / "whole", local).uploaded == gone.bytes
    fetch_store(local, tmp_path / "copy")


def test_a_short_object_is_named(stores, s3, tmp_path):
    short = publish_store(stores / "whole", s3).publication.files[2]
    overwrite(s3, short.object, b"short")
    with pytest.raises(DamagedPublication, match=f"{short.object}.*has 5 bytes, expected {short.bytes}"):
        fetch_store(s3, tmp_path / "copy")


def test_a_damaged_member_is_named(stores, s3, tmp_path):
    member = publish_store(stores / "set", s3).publication.members[1]
    file = read_publication(f"{s3}/{member.path}").files[1]
    change(f"{s3}/{member.path}", file.object)
    with pytest.raises(DamagedPublication, match=f"{member.path}.*{file.object}"):
        fetch_store(s3, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_member_that_was_replaced_is_refused(stores, local, tmp_path):
    member = publish_store(stores / "set", local).publication.members[0]
    shutil.rmtree(tmp_path / "objects" / member.path)
    with pytest.raises(DamagedPublication, match="nothing is published there"):
        fetch_store(local, tmp_path / "copy")
    publish_store(stores / "whole", f"{local}/{member.path}")
    with pytest.raises(DamagedPublication, match="another store"):
        fetch_store(local, tmp_path / "copy")


def test_a_damaged_file_is_not_published(copied, local):
    data = copied / "whole" / "shard-0004" / "data.mdb"
    data.chmod(0o644)
    with data.open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"changed")
    with pytest.raises(DamagedStore, match=r"shard-0004/data.mdb have changed since it was sealed"):
        publish_store(copied / "whole", local)
    assert read_publication(local) is None


@pytest.mark.parametrize("large", [False, True])
def test_a_file_that_changes_after_its_digest_is_not_published(copied, s3, monkeypatch, large):
    hashed = publish._hashed_files

    def then_changed(store):
        found = hashed(store)
        data = copied / "whole" / "shard-0003" / "data.mdb"
        data.chmod(0o644)
        with data.open("r+b") as file:
            file.seek(-100, 2)
            file.write(b"changed")
        return found

    monkeypatch.setattr(publish, "_hashed_files", then_changed)
    if large:  # in parts
        monkeypatch.setattr("lateint_store.remote.objects.PART", 32 << 10)
    with pytest.raises(StoreError, match="changed while it was uploaded: nothing was published"):
        publish_store(copied / "whole", s3)
    assert read_publication(s3) is None


def test_members_that_do_not_belong_together_are_refused(stores, local, tmp_path):
    sealed(tmp_path / "model", 20, fingerprint={"weights": "cd" * 32})
    sealed(tmp_path / "overlap", 20)
    made, _ = recode(tmp_path / "overlap", tmp_path / "codecs", parse_codecs("vector=cast:float16"), finer=True)
    with made:
        made.seal()
    for name in ("whole", "part0", "part1", "set"):
        publish_store(stores / name, f"{local}/{name}")
    for name in ("model", "overlap", "codecs"):
        publish_store(tmp_path / name, f"{local}/{name}")

    def refused(error, match, *names):
        with pytest.raises(error, match=match):
            publish_set(f"{local}/all", [f"{local}/{name}" for name in names])

    refused(StoreNotFound, "no store is published at", "part0", "absent")
    refused(InputError, "list each once", "whole", "whole")
    refused(InputError, "is a set, and the members of a set are stores", "whole", "set")
    refused(StoreMismatch, "do not belong together", "whole", "model")
    refused(StoreMismatch, "do not belong together: codecs", "whole", "codecs")
    refused(DuplicateDocument, "document 'doc[0-9]+' is in store .*/whole and in .*/overlap", "whole", "overlap")
    refused(StoreError, "needs each of the shards 0/2 to 1/2 once", "part0")
    refused(InputError, "needs at least one member")
    with pytest.raises(InputError, match="publish both in one bucket"):
        publish_set("memory://elsewhere/all", [f"{local}/part0", f"{local}/part1"])
    file = read_publication(f"{local}/part1").files[1]
    (tmp_path / "objects" / "part1" / file.object).unlink()
    refused(DamagedPublication, f"{file.object}.*is missing", "part0", "part1")
    assert read_publication(f"{local}/all") is None


def hostile_publications():
    yield b"", "not JSON"
    yield b"[" * 100_000, "deep"
    yield b"[]", "a list"
    yield b'{"format": "lateint publication"}', "no digest"
    yield b"\xff\xfe", "no text"


@pytest.mark.parametrize(
    ("data", "name"), list(hostile_publications()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_text_that_is_no_publication_is_refused(local, tmp_path, data, name):
    overwrite(local, "publication.json", data)
    for call in (lambda: fetch_store(local, tmp_path / "copy"), lambda: read_publication(local)):
        with pytest.raises(DamagedPublication, match=r"publication\.json"):
            call()


def edited(publication, **changes):
    """A publication with other values, under a digest that fits them."""
    from lateint_store.remote import publication as format

    data = publication.to_json() | changes
    digest = format.hashlib.blake2b(format._canonical(data), digest_size=32).hexdigest()
    return json.dumps(data | {"digest": digest}).encode()


OUTSIDE = [{"path": "../../etc/passwd", "bytes": 1, "sha256": "0" * 64}]


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "folder"},
        {"uuid": "../" * 10},
        {"files": OUTSIDE},
        {"files": []},
        {"files": None},
        {"documents": -1},
        {"documents": True},
        {"documents": 1e300},
        {"identity": 5},
        {"content": {"first": "zz", "last": None, "inner": "0"}},
        {"content_digest": "0" * 64},
        {"split": "half"},
        {"shard": ["a", 2]},
        {"members": [{"path": "/etc", "uuid": "0" * 32, "content_digest": "0" * 64, "documents": 1, "digest": "0" * 64}]},
        {"surplus": 1},
    ],
    ids=str,
)
def test_impossible_values_are_refused(stores, tmp_path, changes):
    url = f"memory://hostile/{tmp_path.name}"
    publication = publish_store(stores / "whole", url).publication
    overwrite(url, "publication.json", edited(publication, **changes))
    with pytest.raises(DamagedPublication):
        fetch_store(url, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_member_outside_of_the_bucket_is_refused(stores, tmp_path):
    url = f"memory://hostile/{tmp_path.name}"
    publication = publish_store(stores / "set", url).publication
    members = [json.loads(json.dumps(member)) | {"path": "../../../../x"} for member in publication.to_json()["members"]]
    overwrite(url, "publication.json", edited(publication, members=members))
    with pytest.raises(DamagedPublication, match="leads out of"):
        fetch_store(url, tmp_path / "copy")


def test_a_newer_version_is_named(stores, tmp_path):
    url = f"memory://hostile/{tmp_path.name}"
    publication = publish_store(stores / "whole", url).publication
    overwrite(url, "publication.json", edited(publication, min_reader_version=9))
    with pytest.raises(StoreError, match="needs a reader of version 9; install a newer one"):
        read_publication(url)
