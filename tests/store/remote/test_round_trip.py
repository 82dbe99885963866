"""What is published is fetched again, on every kind of storage; the first publication at a URL stays."""

import pytest

from lateint_store import fetch_store, open_store, publish_set, publish_store, read_publication, verify_store
from lateint_store.errors import SealedStore, StoreError, StoreMismatch, StoreNotFound
from lateint_store.remote import objects
from lateint_store.remote.objects import ObjectFolder
from tests.support.remote import sealed
from tests.support.stores import contents


def test_a_store_comes_back_byte_for_byte(stores, url, tmp_path):
    done = publish_store(stores / "whole", url)
    assert done.created and done.kept == 0 and done.uploaded > done.publication.total_bytes
    target = fetch_store(url, tmp_path / "deep" / "er" / "copy")
    for file in (stores / "whole").rglob("*"):
        if file.is_file() and "lock" not in file.name:
            assert (target / file.relative_to(stores / "whole")).read_bytes() == file.read_bytes()
    assert verify_store(target).ok
    with open_store(target) as store, open_store(stores / "whole") as original:
        assert contents(store) == contents(original) and store.content_digest() == done.publication.content_digest
        assert not (target / "shard-0003" / "data.mdb").stat().st_mode & 0o222
    assert [entry.name for entry in target.parent.iterdir()] == ["copy"], "nothing is left beside it"


def test_the_same_again_is_no_error_and_sends_nothing(stores, url, tmp_path):
    first, second = publish_store(stores / "whole", url), publish_store(stores / "whole", url)
    assert not second.created and second.uploaded == 0 and second.kept == first.uploaded
    assert second.publication == first.publication == read_publication(url)
    target = fetch_store(url, tmp_path / "copy")
    stamp = (target / "manifest.json").stat()
    assert fetch_store(url, target) == target and (target / "manifest.json").stat() == stamp


def test_another_build_of_the_same_counts_as_the_same(stores, url, tmp_path):
    first = publish_store(stores / "whole", url)
    again = publish_store(sealed(tmp_path / "rebuilt", 150, documents_per_shard=64), url)
    assert not again.created and again.uploaded == 0 and again.publication == first.publication


def test_other_content_is_refused_and_nothing_is_overwritten(stores, url, tmp_path):
    first = publish_store(stores / "whole", url)
    for other in (sealed(tmp_path / "other", 90), stores / "part0", stores / "set"):
        with pytest.raises(StoreMismatch, match="nothing is overwritten: publish at another URL") as caught:
            publish_store(other, url)
        assert url in str(caught.value)
    other_model = sealed(tmp_path / "model", 150, documents_per_shard=64, fingerprint={"weights": "cd" * 32})
    with pytest.raises(StoreMismatch, match="with settings"):
        publish_store(other_model, url)
    assert read_publication(url) == first.publication


def test_a_set_comes_back_whole(stores, url, tmp_path):
    done = publish_store(stores / "set", url)
    assert done.created and not publish_store(stores / "set", url).created
    with open_store(fetch_store(url, tmp_path / "copy")) as store, open_store(stores / "set") as original:
        assert contents(store) == contents(original) and store.manifest.uuid == original.manifest.uuid
        assert store.content_digest() == original.content_digest() == done.publication.content_digest
    (tmp_path / "copy").rename(tmp_path / "moved")
    assert verify_store(tmp_path / "moved").ok, "a fetched set may be moved"


def test_a_set_of_published_stores_equals_the_set_of_local_ones(stores, url, tmp_path):
    members = [f"{url}/members/{number}" for number in range(2)]
    for number, member in enumerate(members):
        publish_store(stores / f"part{number}", member)
    done = publish_set(url, members)
    assert done.created and not publish_set(url, members).created
    assert [member.path for member in done.publication.members] == ["members/0", "members/1"]
    with open_store(url, cache=tmp_path) as store, open_store(stores / "set") as original:
        assert contents(store) == contents(original) and store.content_digest() == original.content_digest()
    assert not publish_store(stores / "set", url).created, "the same set, published from its folder"
    with pytest.raises(StoreMismatch, match="nothing is overwritten"):
        publish_set(url, members[::-1])


def test_a_published_store_opens_through_the_local_copies(stores, local, tmp_path, monkeypatch):
    publish_store(stores / "whole", local)
    monkeypatch.setenv("LATEINT_STORE_CACHE", str(tmp_path / "cache"))
    with open_store(local) as store:
        assert len(store) == 150 and store.path.parent == tmp_path / "cache"
        path = store.path

    def refuse(*_: object) -> None:
        raise AssertionError("bytes are fetched again")

    monkeypatch.setattr("lateint_store.remote.fetch._fetch_into", refuse)
    with open_store(local) as store:
        assert store.path == path
    with pytest.raises(SealedStore, match="is published and cannot change"):
        open_store(local, write=True)


def test_members_are_shared_by_sets_in_the_local_copies(stores, local, tmp_path):
    for number in range(2):
        publish_store(stores / f"part{number}", f"{local}/m{number}")
    publish_set(f"{local}/all", [f"{local}/m0", f"{local}/m1"])
    open_store(f"{local}/m0", cache=tmp_path / "cache").close()
    open_store(f"{local}/all", cache=tmp_path / "cache").close()
    assert len(list((tmp_path / "cache").iterdir())) == 3, "two stores, and a set that refers to them"


def test_an_unsealed_store_is_not_published(tmp_path, local, stores):
    from lateint_store import create_set
    from tests.support.stores import build

    build(tmp_path / "open", 40).close()
    create_set(tmp_path / "half", [tmp_path / "open"])
    for path in ("open", "half"):
        with pytest.raises(StoreError, match=r"is not sealed.*run `lateint store seal"):
            publish_store(tmp_path / path, local)
    assert read_publication(local) is None


def test_nothing_is_published_there(url, tmp_path):
    assert read_publication(url) is None
    for call in (lambda: fetch_store(url, tmp_path / "x"), lambda: open_store(url, cache=tmp_path / "cache")):
        with pytest.raises(StoreNotFound, match="no store is published at"):
            call()
    assert not list(tmp_path.glob("*")), "and nothing is made"


def test_large_files_go_in_parts_and_ranges(stores, url, tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "PART", 5 << 20)  # the least that S3 takes
    data = bytes(range(256)) * 4 * (11 << 10)
    place = ObjectFolder(url)
    place.upload("files/large", iter([data[at : at + (5 << 20)] for at in range(0, len(data), 5 << 20)]), len(data))
    assert place.size("files/large") == len(data)
    assert place.read_range("files/large", 5 << 20, len(data)) == data[5 << 20 :]
