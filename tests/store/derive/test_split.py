"""A store split into a set by the hash of ids: the same documents, owners that are computed, and no kill that matters."""

import hashlib
import json

import pytest

from lateint_store import Entry, create_set, open_store, owner_of, split, verify_store
from lateint_store.errors import InputError, StoreError, StoreMismatch, StoreNotFound
from lateint_store.format.set_manifest import entry_owners
from lateint_store.shards.set_shards import hash_range
from lateint_store.shards.snapshot import Snapshot
from tests.support.stores import build, contents, entries, entry, fork_child

DOCUMENTS, MEMBERS = 110, 3


@pytest.fixture
def source(tmp_path):
    """A store of two LMDB files, with deleted and added documents."""
    with build(tmp_path / "source", DOCUMENTS, documents_per_shard=64) as store:
        store.delete(["doc3", "doc100"])
        store.add(entries([400, 3]))
    return tmp_path / "source"


def test_owners_are_equal_ranges_of_the_hash():
    for doc_id in ("doc7", "ä", "x" * 3000):
        number = int.from_bytes(hashlib.blake2b(doc_id.encode(), digest_size=7).digest(), "big")
        for members in (1, 2, 3, 7, 65536):
            first, behind = hash_range(owner_of(doc_id, members), members)
            assert first <= number < behind and owner_of(doc_id, members) == number * members // 2**56
    assert hash_range(0, 3)[0] == 0 and hash_range(2, 3)[1] == 2**56 and hash_range(0, 3)[1] == hash_range(1, 3)[0]
    counts = [[owner_of(f"doc{n}", 4) for n in range(4000)].count(number) for number in range(4)]
    assert sum(counts) == 4000 and min(counts) > 900
    assert entry_owners([b"a#b#0", b"a#b#17"], 1000, "document") == [owner_of("a#b", 1000)] * 2
    for doc_id, members in (("", 2), ("a", 0), ("a", True), (7, 2)):
        with pytest.raises(InputError):
            owner_of(doc_id, members)


def test_the_members_hold_the_documents_of_the_source_each_what_it_owns(source, tmp_path, monkeypatch):
    split(source, tmp_path / "set", MEMBERS)
    assert sorted(entry.name for entry in (tmp_path / "set").iterdir()) == [
        "manifest.json", "member-0000", "member-0001", "member-0002", "writer.lock",
    ]  # fmt: skip
    with open_store(source) as whole, open_store(tmp_path / "set") as store:
        truth = contents(whole)
        assert contents(store) == truth and store.verify().ok and len(store) == len(whole)
        assert (store.info()["tokens"], store.info()["split"]) == (whole.info()["tokens"], "id")
        order = list(truth)
        for number, path in enumerate(store.members):
            with open_store(path) as member:
                assert list(member.ids()) == [doc_id for doc_id in order if owner_of(doc_id, MEMBERS) == number]
        asked, find = [], Snapshot.lookup_all
        monkeypatch.setattr(Snapshot, "lookup_all", lambda self, prefixes: asked.extend(prefixes) or find(self, prefixes))
        assert store.fetch([*order, "gone"], missing="skip").missing == ("gone",)
        assert len(asked) == len(order) + 1, "each id is looked up at its owner alone"
        assert [len(store.fetch([doc_id], missing="skip")) for doc_id in (order[5], "gone")] == [1, 0]


@pytest.mark.parametrize(
    "at",
    ["derived.done:2", "manifest.after_rename:5"],
)
def test_a_split_that_was_killed_continues_with_the_same_call(source, tmp_path, at):
    out = tmp_path / "set"
    assert fork_child("split", out, source, MEMBERS, kill_at=at)[0] == -9
    published = (out / "manifest.json").exists()
    assert published == (at == "manifest.after_rename:5")
    done = {path.parent.name: path.stat().st_ino for path in out.glob("member-*/manifest.json")}
    if not published:
        with pytest.raises(StoreNotFound):
            open_store(out)
    assert fork_child("split", out, source, MEMBERS) == (0, "null")
    assert done.items() <= {path.parent.name: path.stat().st_ino for path in out.glob("member-*/manifest.json")}.items()
    with open_store(source) as whole, open_store(out) as store:
        assert contents(store) == contents(whole) and store.verify().ok and not (out / "split.json").exists()
    with pytest.raises(StoreError, match="nothing is published twice"):
        split(source, out, MEMBERS)


def test_a_split_is_not_continued_with_another_source_or_number(source, tmp_path):
    out = tmp_path / "set"
    assert fork_child("split", out, source, MEMBERS, kill_at="derived.done:2")[0] == -9
    build(tmp_path / "other", 10).close()
    for given in ((tmp_path / "other", MEMBERS), (source, 4)):
        with pytest.raises(StoreMismatch, match=r"beginning of another split.*remove .*set and split again"):
            split(given[0], out, given[1])
    with open_store(source, write=True) as store:
        store.delete(["doc1"])
    with pytest.raises(StoreMismatch, match="before the source changed"):
        split(source, out, MEMBERS)
    assert not (out / "manifest.json").exists()


def test_a_member_that_was_changed_meanwhile_is_noticed(source, tmp_path):
    out = tmp_path / "set"
    assert fork_child("split", out, source, MEMBERS, kill_at="derived.done:3")[0] == -9
    with open_store(out / "member-0000", write=True) as store:
        store.delete([next(store.ids())])
    with pytest.raises(StoreError, match=r"the members in .* hold \d+ documents .*: a member was changed"):
        split(source, out, MEMBERS)
    (tmp_path / "taken" / "member-0000").mkdir(parents=True)
    with pytest.raises(StoreError, match="which no split has begun there"):
        split(source, tmp_path / "taken", 2)


@pytest.mark.parametrize("by", ["id", "document"])
def test_a_document_in_the_wrong_member_is_found(source, tmp_path, by):
    split(source, tmp_path / "set", MEMBERS, by=by)
    wrong = next(n for n in range(500, 600) if owner_of(f"doc{n}", MEMBERS) != 1)
    with open_store(tmp_path / "set" / "member-0001", write=True) as store:
        store.add([Entry(f"doc{wrong}", entry(wrong).arrays)])
    if by == "id":
        with pytest.raises(StoreError, match=f"member-0001 of a set that is split by id holds document 'doc{wrong}', which"):
            open_store(tmp_path / "set")
    problems = verify_store(tmp_path / "set").problems
    assert len(problems) == 1 and f"doc{wrong}" in (problems[0].doc_id or problems[0].reason)


def test_an_empty_store_and_one_member_can_be_split_and_a_set_cannot(source, tmp_path):
    build(tmp_path / "empty", 0).close()
    split(tmp_path / "empty", tmp_path / "nothing", 2)
    split(source, tmp_path / "one", 1)
    with open_store(tmp_path / "nothing", write=True) as store, open_store(tmp_path / "one") as one:
        assert len(store) == 0 and list(store.ids()) == [] and "doc1" not in store
        store.add(entries([1, 2]))
        assert sorted(store.ids()) == ["doc1", "doc2"] and len(one) == DOCUMENTS
    create_set(tmp_path / "set", [source])
    with pytest.raises(StoreError, match="name one of its members"):
        split(tmp_path / "set", tmp_path / "again", 2)
    for members in (0, 1.5, 1 << 17):
        with pytest.raises(InputError):
            split(source, tmp_path / "again", members)
    with pytest.raises(InputError, match="by='name'"):
        split(source, tmp_path / "again", 2, by="name")
    assert json.loads((tmp_path / "one" / "manifest.json").read_text())["members"][0]["path"] == "member-0000"
