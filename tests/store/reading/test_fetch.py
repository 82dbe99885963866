"""Reading many documents at once and one by one gives the same bytes, and the same messages for damage."""

from itertools import pairwise

import numpy as np
import pytest

from lateint_store import open_store
from lateint_store.errors import DamagedStore
from lateint_store.kernels import dispatch
from lateint_store.reading import fetch as fetching
from tests.campaign.layout import block_structure, records
from tests.support.leaks import left_behind
from tests.support.stores import build, entries, entry

TOGETHER, ONE_BY_ONE = 0, 1 << 60


@pytest.fixture(autouse=True, params=["numpy", "kernels"])
def passes(request, monkeypatch):
    """Run every test of this file with numpy and with kernels."""
    monkeypatch.setattr(dispatch, "worth_compiling", lambda saved: request.param == "kernels")


def fetched(store, monkeypatch, many, ids, arrays=None):
    monkeypatch.setattr(fetching, "MANY", many)
    raw = store.fetch(ids, arrays, missing="skip")
    numbers = (raw.positions.tolist(), raw.ordinals.tolist(), raw.rows.tolist(), raw.bytes_read)
    return raw.ids, raw.missing, numbers, {name: list(payloads) for name, payloads in raw.payloads.items()}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Three shards with deleted and added documents."""
    folder = tmp_path_factory.mktemp("fetching") / "s"
    with build(folder, 300, documents_per_shard=96) as store:
        store.delete([f"doc{number}" for number in range(300) if number % 7 == 3])
        store.add(entries([*range(300, 330), 3]))
    return folder


@pytest.mark.parametrize("arrays", [None, ("vector",), ("token_ids", "states"), ()])
def test_many_at_once_are_what_each_is_by_itself(path, monkeypatch, arrays):
    rng = np.random.default_rng(7)
    with open_store(path) as store:
        for size in (0, 1, 2, 30, 400):
            ids = [f"doc{number}" for number in rng.integers(0, 360, size)]
            expected = fetched(store, monkeypatch, ONE_BY_ONE, ids, arrays)
            assert fetched(store, monkeypatch, TOGETHER, ids, arrays) == expected
            assert len(expected[0]) + len(expected[1]) == size and set(expected[1]).isdisjoint(expected[0])
    if arrays == ("vector",):
        assert len(set(expected[0])) < len(expected[0]) and expected[1], "some stood twice, some were not there"


def test_reading_leaves_no_object_behind(path):
    ids = [f"doc{number}" for number in range(60)]
    with open_store(path) as store:
        assert left_behind(lambda: store.fetch(ids, missing="skip")) < 2


def test_ids_whose_digests_begin_alike_are_told_apart_among_many(tmp_path, monkeypatch):
    for module in ("format.index", "shards.snapshot"):
        monkeypatch.setattr(f"lateint_store.{module}.id_prefix", lambda doc_id: doc_id[-1:] * 7)
    monkeypatch.setattr(fetching, "id_prefixes", lambda doc_ids: [doc_id[-1:] * 7 for doc_id in doc_ids])
    with build(tmp_path / "s", 40) as store:
        store.delete(["doc8", "doc19"])
        ids = [f"doc{number}" for number in (*range(0, 50, 3), 8, 9)]
        found = fetched(store, monkeypatch, TOGETHER, ids)
        assert found == fetched(store, monkeypatch, ONE_BY_ONE, ids)
        assert found[1] == ("doc42", "doc45", "doc48", "doc8")


def outcome(folder, monkeypatch, many, ids):
    with open_store(folder) as store:
        try:
            return fetched(store, monkeypatch, many, ids)
        except DamagedStore as error:
            return str(error)


@pytest.mark.parametrize("part", ["structure", "payloads"])
def test_damage_is_called_the_same_among_many(tmp_path, monkeypatch, part):
    with build(tmp_path / "s", 40) as store:
        ids = list(store.ids())
        truth = fetched(store, monkeypatch, TOGETHER, ids)
    data = tmp_path / "s" / "shard-0000" / "data.mdb"
    original, rng = data.read_bytes(), np.random.default_rng(11)
    structure = [place for span in block_structure(original, 3) for place in span]
    payloads = [place for record in records(original, 3) for place in range(record.payloads, record.end)]
    noticed = 0
    for place in rng.choice({"structure": structure, "payloads": payloads}[part], 60, replace=False).tolist():
        damaged = bytearray(original)
        damaged[place] ^= 1 << int(rng.integers(8))
        data.write_bytes(damaged)
        found = outcome(tmp_path / "s", monkeypatch, TOGETHER, ids)
        assert found == outcome(tmp_path / "s", monkeypatch, ONE_BY_ONE, ids)
        assert found == truth or ("shard 0, ordinal" in found and "verify" in found), found
        noticed += found != truth
    assert noticed >= (60 if part == "payloads" else 50), "all but digests of blocks, which only `verify` compares"


def test_a_block_that_is_gone_is_damage_among_many(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MANY", TOGETHER)
    with build(tmp_path / "s", 100) as store:
        with store._shards.writing(-1) as snapshot:
            keys = list(snapshot.block_ordinals())
            snapshot.transaction.delete(keys[1].to_bytes(8, "big"), db=snapshot.environment.databases["blocks"])
        ids = list(map("doc{}".format, range(100)))
        with pytest.raises(DamagedStore, match=f"ordinal {keys[1]}: no block holds"):
            store.fetch(ids)
        for first, end in pairwise([*keys, 100]):
            if first != keys[1]:
                assert len(store.fetch(ids[first:end])) == end - first


def test_a_record_that_states_more_than_its_block_holds_is_refused_among_many(tmp_path, monkeypatch):
    """Sizes with a valid checksum are still compared with the size of the block before they are followed."""
    from lateint_store.format import block

    write = block.BlockFormat._record
    monkeypatch.setattr(block.BlockFormat, "_record", lambda *given: write(*given)[:-5])
    with build(tmp_path / "s", 32) as store:
        for many in (TOGETHER, ONE_BY_ONE):
            monkeypatch.setattr(fetching, "MANY", many)
            with pytest.raises(DamagedStore, match="ordinal 0: the lengths of a record do not add up"):
                store.fetch([f"doc{number}" for number in range(32)])


def test_what_was_fetched_can_be_changed_and_does_not_dangle(path, monkeypatch):
    monkeypatch.setattr(fetching, "MANY", TOGETHER)
    with open_store(path) as store:
        raw = store.fetch([f"doc{number}" for number in range(100, 130) if number % 7 != 3])
        decoded = store.decode(raw)
    assert raw.payloads["vector"].data.flags.writeable and decoded["vector"].values.flags.writeable
    np.testing.assert_array_equal(decoded["token_ids"][0], entry(100).arrays["token_ids"])


def test_bytes_that_a_codec_did_not_write_name_their_document(tmp_path, monkeypatch):
    from lateint_store.codecs.zstd import Zstd

    encode = Zstd.encode
    monkeypatch.setattr(Zstd, "encode", lambda codec, data: encode(codec, data)[: 20 if len(data) == 6 * 16 else None])
    with build(tmp_path / "s", 60) as store:
        for many, coded in ((TOGETHER, ()), (ONE_BY_ONE, ()), (TOGETHER, ("states",))):
            monkeypatch.setattr(fetching, "MANY", many)
            raw = store.fetch([f"doc{number}" for number in range(60)])
            with pytest.raises(DamagedStore, match=r"shard 0, ordinal 6, document 'doc6': array 'states': .*zstd"):
                store.decode(raw, coded=coded)
