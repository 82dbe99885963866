"""A scan yields every live document once, in order, equal to `get`, for all shards, pages and changes."""

import numpy as np
import pytest

from lateint_store import Entry, merge, open_store
from lateint_store.errors import DamagedStore, InputError, StoreError
from lateint_store.reading import scan as scanning
from tests.support.stores import WINDOW, build, contents, entries, entry


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    """Use pages of one or two blocks, so that small stores have many pages."""
    monkeypatch.setattr(scanning, "PAGE_DOCUMENTS", 40)


def scanned(store, arrays=None):
    """Read by a scan what `contents` returns."""
    found = {}
    for page in store.scan(arrays):
        decoded = store.decode(page)
        for place, doc_id in enumerate(page.ids):
            assert doc_id not in found
            found[doc_id] = {name: decoded[name][place].tobytes() for name in decoded}
    return found


@pytest.mark.parametrize("per_shard", [1_000_000, 64])
@pytest.mark.parametrize("change", ["none", "delete", "compact", "seal"])
def test_a_scan_gives_every_live_document_once_in_order(tmp_path, per_shard, change):
    with build(tmp_path / "s", 300, documents_per_shard=per_shard) as store:
        if change != "none":
            store.delete([f"doc{number}" for number in range(300) if number % 3 == 0 or 64 <= number < 130])
        if change in ("compact", "seal"):
            getattr(store, change)()
        expected = contents(store, [f"doc{number}" for number in range(300) if f"doc{number}" in store])
        found = scanned(store)
        assert list(found) == list(expected) and found == expected and len(found) == len(store)
        assert len(list(store.scan())) > 3, "pages"
        assert list(store.ids()) == list(expected)


def test_documents_that_were_added_and_shards_that_were_merged_are_there(tmp_path):
    for number in range(2):
        with build(tmp_path / f"s{number}", 150, shard=(number, 2)) as store:
            assert list(scanned(store)) == [f"doc{n}" for n in range(150) if n // WINDOW % 2 == number]
    with merge([tmp_path / "s0", tmp_path / "s1"], tmp_path / "all") as store:
        store.add(entries(range(200, 260)))
        assert list(scanned(store)) == [f"doc{number}" for number in (*range(150), *range(200, 260))]


def test_only_the_arrays_that_are_wanted_are_read(tmp_path):
    with build(tmp_path / "s", 100) as store:
        pages, whole = list(store.scan(["vector"])), list(store.scan())
        assert all(list(page.payloads) == ["vector"] for page in pages)
        assert sum(page.bytes_read for page in pages) < sum(page.bytes_read for page in whole)
        first = pages[0]
        assert first.ordinals.tolist() == first.positions.tolist() == list(range(len(first)))
        assert pages[1].ordinals[0] == len(first) and pages[1].positions[0] == 0 and first.missing == ()
        assert first.rows.tolist() == [number % 7 for number in range(len(first))]
        same = store.fetch(first.ids, ["vector"])
        assert list(same.payloads["vector"]) == list(first.payloads["vector"]) and same.bytes_read == first.bytes_read
        with pytest.raises(InputError, match="no array 'sates'"):
            store.scan(["sates"])


def test_large_documents_make_pages_of_few(tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "PAGE_DOCUMENTS", 4096)
    with build(tmp_path / "s", 300) as store:
        assert len(list(store.scan())) == 1
        monkeypatch.setattr(scanning, "PAGE_BYTES", 2_000)
        pages = list(store.scan())
        assert len(pages) > 3 and sum(map(len, pages)) == 300


def test_an_empty_store_has_no_page(tmp_path):
    with build(tmp_path / "s", 0) as store:
        assert list(store.scan()) == []
        store.add(entries(range(10)))
        store.delete(list(store.ids()))
        assert list(store.scan()) == []


def test_a_scan_sees_the_documents_of_its_beginning(tmp_path):
    with build(tmp_path / "s", 200, documents_per_shard=64) as store, open_store(tmp_path / "s") as reader:
        pages = reader.scan(["vector"])
        begun = next(pages)
        store.delete(["doc0", "doc150"])
        store.add([Entry("doc0", entry(7).arrays), *entries(range(200, 260))])
        ids = [*begun.ids, *(doc_id for page in pages for doc_id in page.ids)]
        assert ids == [f"doc{number}" for number in range(200) if number != 150], "a new doc0 is not seen twice"
        assert len(list(reader.ids())) == len(reader) == 259, "the next scan sees all"


@pytest.mark.parametrize("change", ["compact", "seal"])
def test_new_numbers_between_two_pages_are_an_error_not_a_gap(tmp_path, change):
    with build(tmp_path / "s", 200) as store, open_store(tmp_path / "s") as reader:
        pages = reader.scan(["vector"])
        next(pages)
        store.delete(["doc1"])
        getattr(store, change)()
        with pytest.raises(StoreError, match="compacted or sealed while it was scanned; scan it again"):
            list(pages)
        assert len(list(reader.ids())) == 199


def test_damage_is_named_where_it_is_met(tmp_path):
    with build(tmp_path / "s", 100) as store:
        payload = store.fetch(["doc41"], ["vector"]).payloads["vector"][0]
    data = next((tmp_path / "s").glob("shard-*")) / "data.mdb"
    data.write_bytes(data.read_bytes().replace(payload, payload[:3] + bytes([payload[3] ^ 4]) + payload[4:]))
    with open_store(tmp_path / "s") as store:
        with pytest.raises(DamagedStore, match=r"ordinal 41, document 'doc41'.*checksum"):
            list(store.scan(["vector"]))
        others = [store.decode(page)["token_ids"] for page in store.scan(["token_ids"])]
    np.testing.assert_array_equal(others[1][1], entry(len(others[0]) + 1).arrays["token_ids"])


def test_a_block_that_is_gone_is_damage_not_a_shorter_list(tmp_path):
    with build(tmp_path / "s", 100) as store:
        with store._shards.writing(-1) as snapshot:
            keys = list(snapshot.block_ordinals())
            snapshot.transaction.delete(keys[1].to_bytes(8, "big"), db=snapshot.environment.databases["blocks"])
        with pytest.raises(DamagedStore, match=f"ordinal {keys[1]}: no block holds"):
            list(store.ids())
