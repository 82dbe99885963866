import os
import stat

import pytest

from lateint_store import open_store
from lateint_store.errors import DamagedStore, SealedStore
from tests.support.stores import build, contents, entries, entry, run_child


@pytest.mark.parametrize("per_shard", [1_000_000, 64])
def test_compacting_drops_deleted_documents_and_nothing_else(tmp_path, per_shard):
    with build(tmp_path / "s", 300, documents_per_shard=per_shard) as store:
        store.delete([f"doc{number}" for number in range(300) if number % 5])
        truth, digest, before = contents(store), store.content_digest(), store.info()["bytes"]
        store.compact()
        assert (contents(store), store.content_digest()) == (truth, digest)
        assert store.info()["bytes"] < before and store.verify().ok
        store.add(entries(range(400, 420)))
        assert len(store) == 80 and store.verify().ok
        assert store.progress.source_position == 300


def test_compacting_keeps_the_number_of_documents_a_shard(tmp_path):
    with build(tmp_path / "s", 300, documents_per_shard=64) as store:
        store.compact()
        assert len(store.manifest.shards) == 5 and store.verify().ok


def test_compacting_an_emptied_store_works(tmp_path):
    with build(tmp_path / "s", 10) as store:
        store.delete(list(store.ids()))
        assert store.content_digest() == "0" * 64
        store.compact()
        assert len(store) == 0 and store.verify().ok and store.get([]) == []


def test_a_build_goes_on_after_compaction(tmp_path):
    with build(tmp_path / "s", 64) as store:
        store.compact()
    with build(tmp_path / "s", 200) as store, build(tmp_path / "once", 200) as once:
        assert store.content_digest() == once.content_digest()


def test_readers_follow_a_compaction_in_this_and_in_another_process(tmp_path):
    with build(tmp_path / "s", 100) as store:
        store.delete(["doc1"])
        truth = contents(store)
    reader = open_store(tmp_path / "s")
    assert contents(reader) == truth
    run_child("compact", tmp_path / "s")
    assert contents(reader) == truth
    with open_store(tmp_path / "s", write=True) as writer:
        writer.compact()
        assert contents(reader) == truth
        writer.seal()
        assert contents(reader) == truth and reader.sealed
    reader.close()


def test_a_sealed_store_is_immutable_and_needs_no_lock_file(tmp_path):
    with build(tmp_path / "s", 100) as store:
        digest = store.content_digest()
        store.seal()
        assert store.sealed and store.content_digest() == digest
        for change in (lambda: store.add(entries([500])), lambda: store.delete(["doc1"]), store.compact, store.seal):
            with pytest.raises(SealedStore, match="cannot change"):
                change()
    data = tmp_path / "s" / store.manifest.shards[0].folder / "data.mdb"
    assert not data.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    before = data.stat().st_mtime_ns
    with open_store(tmp_path / "s") as store:
        assert len(contents(store)) == 100 and store.verify().ok
        assert store.manifest.content_digest == digest
    assert os.listdir(data.parent) == ["data.mdb"] and data.stat().st_mtime_ns == before


def test_sealing_refuses_damage_and_keeps_the_store(tmp_path):
    with build(tmp_path / "s", 100) as store:
        payload = store.fetch(["doc41"], arrays=("vector",)).payloads["vector"][0]
    data = tmp_path / "s" / "shard-0000" / "data.mdb"
    data.write_bytes(data.read_bytes().replace(payload, bytes([payload[0] ^ 1]) + payload[1:]))
    with open_store(tmp_path / "s", write=True) as store:
        with pytest.raises(DamagedStore, match="'doc41'"):
            store.seal()
        assert not store.sealed
        assert store.get(["doc40"])[0]["token_ids"].tolist() == entry(40).arrays["token_ids"].tolist()
    assert sorted(path.name for path in (tmp_path / "s").iterdir() if path.is_dir()) == ["shard-0000"]
