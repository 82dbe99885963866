"""Another store takes the place of an open one: nobody reads or writes it unknowingly. Compact, seal and add are followed."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from lateint_store import create_store, merge, open_store, parse_codecs, recode, verify_store
from lateint_store.errors import LateintError, StoreMismatch, StoreNotFound
from lateint_store.shards import shards as module
from tests.support.stores import ABOUT, WINDOW, build, contents, entries, specs


@pytest.fixture
def path(tmp_path):
    build(tmp_path / "s", 60, documents_per_shard=32).close()
    return tmp_path / "s"


def replace(path, other):
    path.rename(path.with_name("old"))
    other.rename(path)


READS = {
    "get": lambda store: store.get(["doc1"]),
    "fetch": lambda store: store.fetch(["doc1"]),
    "view": lambda store: store.view().__enter__(),
    "len": len,
    "in": lambda store: "doc1" in store,
    "ids": lambda store: list(store.ids()),
    "scan": lambda store: list(store.scan()),
    "rows": lambda store: store.rows(["doc1"]),
    "content_digest": lambda store: store.content_digest(),
    "info": lambda store: store.info(),
    "progress": lambda store: store.progress,
    "verify": lambda store: store.verify(),
    "check": lambda store: store.check(),
}
CHANGES = {
    "add": lambda store: store.add(entries([99])),
    "append": lambda store: store.append(entries([99]), 99, "x"),
    "delete": lambda store: store.delete(["doc1"]),
    "compact": lambda store: store.compact(),
    "seal": lambda store: store.seal(),
    "start_run": lambda store: store.start_run(),
}


@pytest.mark.parametrize("sealed", [False, True])
def test_every_read_refuses_a_store_of_another_build(path, tmp_path, sealed):
    with build(tmp_path / "other", 60) as other, open_store(path, write=True) as first:
        if sealed:
            other.seal()
            first.seal()
    with open_store(path) as store:
        truth = contents(store)
        replace(path, tmp_path / "other")
        for name, read in READS.items():
            with pytest.raises(StoreMismatch, match="holds another store now") as caught:
                read(store)
            assert caught.value.exit_code == 3, name
        path.rename(tmp_path / "other")
        with pytest.raises(StoreNotFound):
            store.get(["doc1"])
        (tmp_path / "old").rename(path)
        assert contents(store) == truth, "the store that was opened is back"


def test_recoded_copies_are_other_stores(path, tmp_path):
    with open_store(path) as store:
        recode(path, tmp_path / "coarse", parse_codecs("vector=int4"))[0].close()
        replace(path, tmp_path / "coarse")
        with pytest.raises(StoreMismatch):
            store.decode(store.fetch(["doc1"], ["vector"]))


def test_the_same_uuid_with_other_settings_is_refused(path):
    with open_store(path) as store:
        manifest = store.manifest
        module.manifests.write_manifest(path, module.replace(manifest, fingerprint={"weights": "cd" * 32}))
        with pytest.raises(StoreMismatch, match="fingerprint differ"):
            len(store)


@pytest.mark.parametrize("rewrite", ["compact", "seal"])
def test_a_reader_follows_what_the_writer_does(path, rewrite):
    with open_store(path) as store, open_store(path, write=True) as writer:
        writer.add(entries(range(100, 140)))
        writer.delete(["doc3"])
        getattr(writer, rewrite)()
        assert contents(store) == contents(writer) and len(store) == 99 and store.sealed == (rewrite == "seal")


def remade(path):
    """What `rm -rf store; lateint index ...` of another process leaves, written by another thread of this one."""

    def remake():
        shutil.rmtree(path)
        store = create_store(path, specs(), **(ABOUT | {"fingerprint": {"weights": "cd" * 32}, "window": WINDOW}))
        store.add(entries(range(40)))
        return store

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(remake).result()


def test_every_change_refuses_a_folder_that_was_removed_and_made_again(path):
    with open_store(path, write=True) as store, remade(path) as other:
        before = other.content_digest()
        for name, change in CHANGES.items():
            with pytest.raises(StoreMismatch):
                change(store)
            assert other.content_digest() == before and other.verify().ok, name
        other.add(entries(range(40, 64)))


def test_every_change_refuses_a_folder_whose_lock_file_is_another(path):
    """The store is the same, but another process may hold the lock of the new file."""
    with open_store(path, write=True) as store:
        (path / "writer.lock").unlink()
        with open_store(path, write=True) as second:
            before = second.content_digest()
            for change in CHANGES.values():
                with pytest.raises(StoreMismatch, match=r"writer\.lock there is not the file"):
                    change(store)
            assert second.content_digest() == before and second.verify().ok
            second.compact()


@pytest.mark.parametrize("at", ["rewrite.window", "rewrite.done", "seal.verified"])
def test_a_rewrite_leaves_the_folder_alone_that_took_the_place_of_its_own(path, monkeypatch, at):
    """The folder is replaced while the copy is written: neither the manifest nor a folder of the other store is touched."""
    made = []

    def point(name):
        if name == at and not made:
            made.append(remade(path))

    monkeypatch.setattr("lateint_store.writing.rewrite.point", point)
    with open_store(path, write=True) as store, pytest.raises(LateintError):
        store.seal()
    with made[0] as other:
        assert len(other) == 40 and not other.sealed and other.verify().ok
        other.add(entries(range(40, 80)))


@pytest.mark.parametrize("verb", ["merge", "recode", "create"])
def test_a_new_store_does_not_replace_one_that_was_made_meanwhile(path, tmp_path, monkeypatch, verb):
    out, made = tmp_path / "out", []
    for number in range(2 if verb == "merge" else 0):
        build(tmp_path / f"p{number}", 60, shard=(number, 2)).close()

    def point(name):
        if name == ("create.shard" if verb == "create" else "rewrite.done") and not made:
            made.append(None)  # the points of the other store do not count
            made[0] = remade(out)

    for module_name in ("writing.rewrite", "shards.shards"):
        monkeypatch.setattr(f"lateint_store.{module_name}.point", point)
    with pytest.raises(StoreMismatch):
        if verb == "merge":
            merge([tmp_path / "p0", tmp_path / "p1"], out)
        elif verb == "recode":
            recode(path, out, parse_codecs("vector=int4"))
        else:
            create_store(out, specs(), **(ABOUT | {"window": WINDOW}))
    with made[0] as other:
        assert other.manifest.fingerprint["weights"] == "cd" * 32 and verify_store(out).ok
        other.add(entries(range(40, 80)))
