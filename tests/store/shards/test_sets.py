"""Several stores that open as one: every read, every change, and what is refused when a set is published or opened."""

import dataclasses
import json
import os
import pickle
import shutil

import pytest

from lateint_store import Entry, StoreSet, create_set, create_store, extend_set, merge, open_store, recode, verify_store
from lateint_store.codecs.syntax import parse_codecs
from lateint_store.errors import (
    DamagedStore,
    DuplicateDocument,
    InputError,
    LateintError,
    MissingDocument,
    SealedStore,
    StoreError,
    StoreLocked,
    StoreMismatch,
    StoreNotFound,
)
from lateint_store.format.manifest import read_manifest, write_description, write_manifest
from lateint_store.reading import scan as scanning
from tests.support.stores import ABOUT, WINDOW, build, contents, entries, entry, fork_child, specs

DOCUMENTS = 140


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A store, the two shards of the same build, one of them sealed, and a set of both."""
    folder = tmp_path_factory.mktemp("sets")
    build(folder / "whole", DOCUMENTS, documents_per_shard=64).close()
    for number in range(2):
        with build(folder / f"part{number}", DOCUMENTS, shard=(number, 2), documents_per_shard=32) as store:
            if number:
                store.seal()
    create_set(folder / "set", [folder / "part0", folder / "part1"])
    return folder


@pytest.fixture
def folder(built, tmp_path):
    """A copy of all of it, which a test may change."""
    shutil.copytree(built, tmp_path / "copy", ignore=shutil.ignore_patterns("*lock*"))
    return tmp_path / "copy"


def open_set(folder, **options):
    store = open_store(folder / "set", **options)
    assert isinstance(store, StoreSet)
    return store


def test_a_set_reads_as_the_merged_store(built, tmp_path):
    with merge([built / "part0", built / "part1"], tmp_path / "merged") as merged, open_set(built) as store:
        assert contents(store) == contents(merged) and list(store.ids()) != list(merged.ids()), "members come in their order"
        assert list(store.ids()) == [i for n in range(2) for i in open_store(built / f"part{n}").ids()]
        assert len(store) == len(merged) == DOCUMENTS and "doc7" in store and "gone" not in store and 7 not in store
        for ids in ([], ["doc40"], ["gone", "doc3", "doc3", "doc40"], [*(f"doc{n}" for n in range(120, 150)), "doc1"]):
            ours, theirs = (opened.fetch(ids, missing="skip") for opened in (store, merged))
            assert (ours.ids, ours.missing, ours.bytes_read) == (theirs.ids, theirs.missing, theirs.bytes_read)
            assert (ours.positions.tolist(), ours.rows.tolist()) == (theirs.positions.tolist(), theirs.rows.tolist())
            assert {name: list(held) for name, held in ours.payloads.items()} == {
                name: list(held) for name, held in theirs.payloads.items()
            }
        assert store.rows(["doc5", "doc40"]).tolist() == merged.rows(["doc5", "doc40"]).tolist()
        assert store.progress == merged.progress
        with pytest.raises(MissingDocument, match=r"set holds no document 'gone'"):
            store.get(["doc1", "gone"])
        with store.view() as view:
            assert view.fetch(["doc9"]).ids == ("doc9",)


def test_info_sums_the_members_and_names_them(built):
    with open_set(built) as store, open_store(built / "whole") as whole:
        found, parts = store.info(), [open_store(built / f"part{n}").info() for n in range(2)]
        assert found["members"] == [
            {"path": "../part0", "documents": parts[0]["documents"], "sealed": False},
            {"path": "../part1", "documents": parts[1]["documents"], "sealed": True},
        ]
        for name in ("documents", "tokens", "bytes", "encoded_by_last_run", "shards"):
            assert found[name] == sum(part[name] for part in parts), name
        same = ("documents", "tokens", "progress", "codecs", "fingerprint", "model", "head", "window", "shard")
        assert {name: found[name] for name in same} == {name: whole.info()[name] for name in same}
        assert found["split"] is None and found["sealed"] is False and store.verify().ok
        assert found["content_digest"] == store.content_digest() and json.dumps(found)


def test_a_pickled_set_opens_the_same_set(built):
    with open_set(built) as store, pickle.loads(pickle.dumps(store)) as again:
        assert type(again) is StoreSet and contents(again) == contents(store)


def test_a_forked_child_reads_the_set_that_its_parent_opened(built):
    with open_set(built) as store:
        truth = contents(store, ["doc1", "doc40"])
        child = os.fork()
        if child == 0:
            os._exit(0 if contents(store, ["doc1", "doc40"]) == truth else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert contents(store, ["doc1", "doc40"]) == truth


def test_a_change_goes_to_the_members_and_is_followed_by_readers(folder):
    with open_set(folder) as reader, open_set(folder, write=True) as store:
        before = reader.content_digest()
        store.add(entries(range(300, 340)))
        store.delete(["doc2", "doc301"])
        assert len(reader) == DOCUMENTS + 38 and reader.content_digest() == store.content_digest() != before
        assert contents(reader, ["doc303"]) == {"doc303": {k: v.tobytes() for k, v in reader.get(["doc303"])[0].items()}}
        store.compact()
        assert contents(reader) == contents(store) and store.verify().ok
        store.seal()
        assert {member["sealed"] for member in reader.info()["members"]} == {True} and reader.sealed
        with pytest.raises(SealedStore):
            store.add(entries([999]))
    manifest = json.loads((folder / "set" / "manifest.json").read_text())
    assert [m["content_digest"] for m in manifest["members"]] == [
        read_manifest(folder / name).content_digest for name in ("part0", "part1")
    ]


def test_changes_are_refused_before_anything_changes(folder):
    with open_set(folder) as reader, open_set(folder, write=True) as store:
        before = store.content_digest()
        for error, change in [
            (DuplicateDocument, lambda: store.add(entries([400, 40]))),
            (MissingDocument, lambda: store.delete(["doc1", "gone"])),
            (SealedStore, lambda: store.delete(["doc1", "doc40"])),  # doc40 is in the sealed member
            (StoreError, lambda: store.append(entries([400]), 999, "x")),
            (StoreError, store.start_run),
            (StoreError, lambda: reader.add(entries([400]))),
        ]:
            with pytest.raises(error):
                change()
        assert store.content_digest() == before and "doc1" in store
        with pytest.raises(StoreLocked):
            open_set(folder, write=True)


def test_a_deletion_that_was_killed_is_completed_by_the_same_call(folder):
    with open_store(folder / "whole", write=True) as store:
        store.delete([f"doc{n}" for n in range(0, DOCUMENTS, 5)])
        wanted = contents(store)
    build(folder / "part2", DOCUMENTS, shard=(1, 2), documents_per_shard=64).close()
    create_set(folder / "open", [folder / "part0", folder / "part2"])
    ids = [f"doc{n}" for n in range(0, DOCUMENTS, 5)]
    assert fork_child("delete", folder / "open", *ids, kill_at="delete.after_commit:1")[0] == -9
    with open_store(folder / "open", write=True) as store:
        store.delete(ids, again=True)
        assert contents(store) == wanted | {} and store.verify().ok
        store.delete(ids, again=True)
        with pytest.raises(MissingDocument):
            store.delete(ids)


def test_a_scan_of_a_set_sees_the_documents_of_its_beginning(folder, monkeypatch):
    monkeypatch.setattr(scanning, "PAGE_DOCUMENTS", 64)
    with open_set(folder) as store, open_set(folder, write=True) as writer:
        pages = store.scan(["vector"])
        seen = [*next(pages).ids]
        writer.add(entries([500]))
        seen += [doc_id for page in pages for doc_id in page.ids]
        assert sorted(seen) == sorted(f"doc{n}" for n in range(DOCUMENTS))
        pages = store.scan(["vector"], stable=True)
        for _ in range(3):
            next(pages)  # the second member has begun
        writer.delete(["doc1"])
        with pytest.raises(StoreError, match=r"documents of store .*part0 were deleted while it was scanned"):
            list(pages)


def test_a_set_that_is_extended_is_followed_and_one_that_is_replaced_is_refused(folder):
    with create_store(folder / "more", specs(), **ABOUT, window=WINDOW) as more:
        more.add(entries(range(600, 640)))
    with open_set(folder) as store:
        extend_set(folder / "set", [folder / "more"])
        assert len(store) == DOCUMENTS + 40 and store.rows(["doc601"]).tolist() == [601 % 7]
        (folder / "set").rename(folder / "old")
        create_set(folder / "set", [folder / "more"])
        with pytest.raises(StoreMismatch, match=r"holds another set .* now"):
            len(store)
        shutil.rmtree(folder / "set")
        with pytest.raises(StoreNotFound):
            store.check()
    with pytest.raises(StoreError, match="single store"):
        extend_set(folder / "more", [folder / "whole"])


def other_model(folder):
    build(folder / "other", 40, fingerprint={"weights": "cd" * 32}).close()
    return [folder / "part0", folder / "other"]


def other_codecs(folder):
    made, _ = recode(folder / "part1", folder / "coarse", parse_codecs("vector=int4"))
    made.close()
    return [folder / "part0", folder / "coarse"]


def same_id(folder):
    with create_store(folder / "twin", specs(), **ABOUT, window=WINDOW) as twin:
        twin.add(entries([700, 3]))
    return [folder / "part0", folder / "part1", folder / "twin"]


def copied(folder):
    shutil.copytree(folder / "part1", folder / "copied")
    return [folder / "part1", folder / "copied"]


def damaged(folder):
    data = next((folder / "part1").glob("shard-*")) / "data.mdb"
    data.chmod(0o644)
    data.write_bytes(data.read_bytes()[:-4096])
    return [folder / "part0", folder / "part1"]


def newer(folder):
    description = json.loads((folder / "part0" / "manifest.json").read_text())
    description.pop("digest")
    write_description(folder / "part0", description | {"format_version": 9, "min_reader_version": 9})
    return [folder / "part0", folder / "part1"]


def unfinished(folder):
    build(folder / "short", 64, shard=(1, 2)).close()
    return [folder / "part0", folder / "short"]


REFUSED = [
    (lambda folder: [folder / "part0"], StoreError, "a set needs each of the shards 0/2 to 1/2 once, got 0/2"),
    (
        unfinished,
        StoreError,
        f"part0 has read {DOCUMENTS} documents.*short 64 .*: one is not finished, or their sources differ",
    ),
    (
        other_model,
        StoreMismatch,
        "part0 and .*other do not belong together: .* weights abab.* there, cdcd",
    ),
    (other_codecs, StoreMismatch, "part0 and .*coarse do not belong together: codecs .*recode"),
    (same_id, DuplicateDocument, "'doc3' is in store .*part0 and in .*twin"),
    (copied, InputError, "part1 and .*copied are one store"),
    (lambda folder: [folder / "part0", folder / "part0"], InputError, "are one store .*list each once"),
    (damaged, DamagedStore, "part1"),
    (newer, StoreError, "part0 has format 'lateint store', version 9, .*install a newer one"),
    (lambda folder: [folder / "part0", folder / "nowhere"], StoreNotFound, "nowhere"),
    (lambda folder: [folder / "part0", folder / "set"], StoreError, "set is a set of stores.*name one of its members"),
    (lambda folder: [], InputError, "at least one store"),
]


@pytest.mark.parametrize(
    ("members", "error", "message"), REFUSED, ids=[error.__name__ + str(i) for i, (_, error, _) in enumerate(REFUSED)]
)
def test_stores_that_do_not_belong_together_are_not_published(folder, members, error, message):
    given = members(folder)
    with pytest.raises(error, match=message):
        create_set(folder / "new", given)
    assert not (folder / "new").exists()


def test_a_set_is_published_once_and_as_a_whole(folder):
    for taken in ("set", "whole"):
        before = (folder / taken / "manifest.json").read_bytes()
        with pytest.raises(StoreError, match="nothing is published twice"):
            create_set(folder / taken, [folder / "part0"])
        assert (folder / taken / "manifest.json").read_bytes() == before
    with pytest.raises(StoreError, match="not empty and not a new store"):
        shutil.copytree(folder / "set", folder / "half")
        (folder / "half" / "manifest.json").rename(folder / "half" / "x.json")
        create_store(folder / "half", specs(), **ABOUT)


@pytest.mark.parametrize(("at", "there"), [("manifest.before_rename:1", False), ("manifest.after_rename:1", True)])
def test_a_killed_publication_leaves_a_whole_set_or_none(folder, at, there):
    arguments = ("publish", folder / "new", folder / "part0", folder / "part1")
    assert fork_child(*arguments, kill_at=at)[0] == -9
    assert (folder / "new" / "manifest.json").exists() == there
    if not there:
        fork_child(*arguments)
    with open_store(folder / "new") as store:
        assert len(store) == DOCUMENTS


def remove(folder):
    shutil.rmtree(folder / "part1")


def replace(folder):
    shutil.rmtree(folder / "part0")
    build(folder / "part0", 40, shard=(0, 2)).close()


def change_sealed(folder):
    """What nobody does by accident: the store of the same uuid, built on, and sealed with other contents."""
    manifest = read_manifest(folder / "part1")
    (folder / "part1" / "manifest.json").chmod(0o644)
    write_manifest(folder / "part1", dataclasses.replace(manifest, content_digest="0" * 64))


def copy_document(folder):
    with open_store(folder / "part0", write=True) as store:
        store.add([Entry("doc40", entry(41).arrays)])


BROKEN = [
    (remove, StoreNotFound, "set lacks its member .*part1; put that store back"),
    (replace, StoreMismatch, "part0 of store set .* is not the store that was published"),
    (change_sealed, StoreMismatch, "part1 of store set .* is not the store that was published"),
    (damaged, DamagedStore, "part1"),
    (copy_document, DuplicateDocument, "'doc40' is in store .*part0 and in .*part1"),
]


@pytest.mark.parametrize(("break_it", "error", "message"), BROKEN, ids=[case.__name__ for case, _, _ in BROKEN])
def test_a_set_whose_members_changed_is_refused_and_verify_says_why(folder, break_it, error, message):
    break_it(folder)
    with pytest.raises(error, match=message):
        open_set(folder)
    report = verify_store(folder / "set")
    assert not report.ok and all(isinstance(problem.reason, str) for problem in report.problems)


def test_damage_of_a_document_is_named_with_its_member(folder):
    with open_set(folder) as store:
        payload = store.fetch(["doc5"], ["vector"]).payloads["vector"][0]
    data = folder / "part0" / "shard-0000" / "data.mdb"
    data.write_bytes(data.read_bytes().replace(payload, payload[:3] + bytes([payload[3] ^ 4]) + payload[4:]))
    with open_set(folder) as store, pytest.raises(DamagedStore, match=r"part0, shard 0, .*document 'doc5'") as caught:
        store.get(["doc40", "doc5"])
    assert caught.value.doc_id == "doc5"
    problems = verify_store(folder / "set").problems
    assert any(problem.doc_id == "doc5" and problem.reason.startswith("member ../part0: ") for problem in problems)


def test_what_works_on_a_single_store_says_so_of_a_set(folder):
    for work in (
        lambda: merge([folder / "set"], folder / "out"),
        lambda: recode(folder / "set", folder / "out", parse_codecs("vector=int4")),
        lambda: create_store(folder / "set", specs(), **ABOUT),
    ):
        with pytest.raises(LateintError, match="set of stores"):
            work()


@pytest.mark.parametrize(
    "changes",
    [
        {"members": []},
        {"members": [{"path": "/abs", "uuid": "0" * 32}]},
        {"split": "x"},
        {"uuid": "x"},
        {"members": [{"x": 1}]},
    ],
)
def test_an_impossible_manifest_is_damage(folder, changes):
    description = json.loads((folder / "set" / "manifest.json").read_text())
    description.pop("digest")
    write_description(folder / "set", description | changes)
    with pytest.raises(DamagedStore, match=r"manifest\.json"):
        open_set(folder)
    write_description(folder / "set", description | {"min_reader_version": 2, "format_version": 2})
    with pytest.raises(StoreError, match="version 2, which needs a reader of version 2"):
        open_set(folder)
    (folder / "set" / "manifest.json").write_text("{")
    assert [problem.reason for problem in verify_store(folder / "set").problems]
