"""Flipped bits and truncated files give an error with its location or the right bytes; never wrong bytes or a signal."""

import json

import numpy as np
import pytest

from lateint_store import open_store, verify_store
from lateint_store.errors import DamagedStore, StoreError, StoreNotFound
from tests.support.stores import build, contents, run_child

ERRORS = {"DamagedStore", "unharmed"}


def small_store(path, sealed=False):
    with build(path, 70) as store:
        store.delete(["doc8"])
        if sealed:
            store.seal()
    return next(path.glob("shard-*")) / "data.mdb"


def outcomes(path, mutations):
    child = run_child("damaged_reads", path, *mutations, check=False)
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


def flips(data, places, rng):
    content = data.read_bytes()
    return [f"{place}:{content[place] ^ 1 << rng.integers(0, 8):02x}" for place in places]


@pytest.mark.parametrize("sealed", [False, True])
def test_no_flipped_bit_gives_wrong_bytes(tmp_path, sealed):
    data, rng = small_store(tmp_path / "s", sealed), np.random.default_rng(3)
    used = np.flatnonzero(np.frombuffer(data.read_bytes(), np.uint8))
    found = outcomes(tmp_path / "s", flips(data, rng.choice(used, 120, replace=False), rng))
    assert set(found) <= ERRORS and found.count("DamagedStore") > 20, found


def test_no_flipped_bit_in_a_page_header_gives_wrong_bytes(tmp_path):
    data, rng = small_store(tmp_path / "s"), np.random.default_rng(4)
    places = [page + rng.integers(0, 40) for page in range(0, data.stat().st_size, 4096) for _ in range(6)]
    found = outcomes(tmp_path / "s", flips(data, places, rng))
    assert set(found) <= ERRORS, found


@pytest.mark.parametrize("sealed", [False, True])
def test_no_truncated_file_kills_the_reader(tmp_path, sealed):
    data = small_store(tmp_path / "s", sealed)
    size = data.stat().st_size
    found = outcomes(tmp_path / "s", [f"cut:{length}" for length in [*range(0, size, 1537), size - 1]])
    assert set(found) <= ERRORS and found[:-1].count("DamagedStore") > len(found) // 2, found
    if sealed:
        assert set(found) == {"DamagedStore"}


def test_damage_is_named_by_shard_ordinal_and_document(tmp_path):
    data = small_store(tmp_path / "s")
    with open_store(tmp_path / "s") as store:
        payload = store.fetch(["doc41"], arrays=("vector",)).payloads["vector"][0]
        truth = contents(store)
    data.write_bytes(data.read_bytes().replace(payload, payload[:3] + bytes([payload[3] ^ 4]) + payload[4:]))
    with open_store(tmp_path / "s") as store:
        with pytest.raises(DamagedStore, match=r"shard 0, ordinal 41, document 'doc41'.*lateint store verify") as caught:
            store.get(["doc41"])
        assert (caught.value.shard, caught.value.ordinal, caught.value.doc_id) == (0, 41, "doc41")
        others = [doc_id for doc_id in truth if doc_id != "doc41"]
        assert contents(store, others) == {doc_id: truth[doc_id] for doc_id in others}
        assert store.rows(["doc41"]).tolist() == [41 % 7], "the other arrays and the header are intact"
        report = store.verify()
    assert not report.ok and [(p.shard, p.ordinal, p.doc_id) for p in report.problems] == [(0, 41, "doc41")]
    assert report.documents == 68 and "checksum" in report.problems[0].reason
    assert json.loads(json.dumps(report.to_json()))["ok"] is False


def test_a_damaged_index_is_not_a_missing_document(tmp_path):
    data = small_store(tmp_path / "s", sealed=False)
    from lateint_store.format.index import make_entry

    needle = make_entry(b"doc5", 5)
    data.write_bytes(data.read_bytes().replace(needle, bytes([needle[0] ^ 1]) + needle[1:]))
    try:
        with open_store(tmp_path / "s") as store:
            with pytest.raises(DamagedStore, match="id index"):
                store.get(["doc5"])
            with pytest.raises(DamagedStore, match="id index"):
                store.get(["never there"])
            assert len(store.get(["doc6"])) == 1
    except DamagedStore as error:
        assert "order" in str(error)
    assert not verify_store(tmp_path / "s").ok


def test_records_of_another_place_or_store_are_refused(tmp_path):
    from lateint_store.format.block import BlockError, BlockFormat, EncodedDocument

    documents = [EncodedDocument(f"d{number}".encode(), 1, (b"abc",), b"") for number in range(3)]
    here, other = BlockFormat(b"12345678", 1), BlockFormat(b"87654321", 1)
    value = memoryview(here.write(documents, 10, 0))
    assert here.open(value, 10).record_header(11).doc_id == b"d1"
    with pytest.raises(BlockError, match="belongs to store"):
        other.open(value, 10)
    with pytest.raises(BlockError, match="ordinal 10"):
        here.open(value, 7)


@pytest.mark.parametrize("change", ["uuid", "window", "shards", "codecs", "empty", "cut", "format"])
def test_a_changed_manifest_is_noticed(tmp_path, change):
    build(tmp_path / "s", 3).close()
    path = tmp_path / "s" / "manifest.json"
    data = json.loads(path.read_text())
    if change == "empty":
        text = ""
    elif change == "cut":
        text = path.read_text()[:-40]
    else:
        edits = {"uuid": "0" * 32, "window": 7, "shards": [], "specs": {}, "min_reader_version": 2}
        name = {"codecs": "specs", "format": "min_reader_version"}.get(change, change)
        text = json.dumps(data | {name: edits[name]})
    path.write_text(text)
    with pytest.raises(DamagedStore, match=r"manifest\.json"):
        open_store(tmp_path / "s")
    assert [problem.reason for problem in verify_store(tmp_path / "s").problems]


def test_a_newer_format_is_refused_with_both_versions(tmp_path):
    from lateint_store.format import manifest

    build(tmp_path / "s", 3).close()
    path = tmp_path / "s" / "manifest.json"
    data = json.loads(path.read_text()) | {"format_version": 9, "min_reader_version": 9}
    del data["digest"]
    path.write_text(json.dumps(data | {"digest": manifest._digest(data)}))
    with pytest.raises(StoreError, match=r"version 9.*up to 1"):
        open_store(tmp_path / "s")


def test_missing_files_are_named(tmp_path):
    data = small_store(tmp_path / "s")
    data.unlink()
    with pytest.raises(DamagedStore, match=r"data\.mdb is missing"):
        open_store(tmp_path / "s")
    assert "missing" in verify_store(tmp_path / "s").problems[0].reason
    (tmp_path / "s" / "manifest.json").unlink()
    with pytest.raises(StoreNotFound):
        verify_store(tmp_path / "s")


def test_the_file_of_another_store_is_refused(tmp_path):
    first, second = small_store(tmp_path / "a"), small_store(tmp_path / "b")
    first.write_bytes(second.read_bytes())
    with pytest.raises(DamagedStore, match="state record"), open_store(tmp_path / "a") as store:
        len(store)
