import threading

import numpy as np
import pytest

from lateint_store import Entry, open_store
from lateint_store.errors import InputError, MissingDocument, StoreError
from tests.support.stores import WINDOW, build, contents, entries, entry, run_child, specs


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "built"
    build(folder, 200).close()
    return folder


def test_arrays_come_back_equal_for_lossless_codecs_and_within_the_bound_for_others(path):
    with open_store(path) as store:
        for number, found in zip(range(200), store.get([f"doc{number}" for number in range(200)]), strict=True):
            given = entry(number).arrays
            assert found["states"].dtype == np.float16
            np.testing.assert_array_equal(found["states"], given["states"])
            np.testing.assert_array_equal(found["token_ids"], given["token_ids"])
            assert found["token_ids"].dtype == np.int64
            bound = specs()["vector"].bound(given["vector"])
            assert (np.abs(found["vector"] - given["vector"]) <= bound).all()


def test_get_keeps_the_order_asked_for_and_allows_repeats(path):
    with open_store(path) as store:
        found = store.get(["doc9", "doc199", "doc9", "doc0"])
        assert [len(arrays["token_ids"]) for arrays in found] == [9 % 7, 199 % 7, 9 % 7, 0]
        np.testing.assert_array_equal(found[0]["states"], found[2]["states"])
        assert store.get([]) == []


def test_missing_documents_are_named(path):
    with open_store(path) as store:
        with pytest.raises(MissingDocument, match="'nowhere', 'nor here'"):
            store.get(["doc1", "nowhere", "doc2", "nor here"])
        assert isinstance(MissingDocument("x"), KeyError)


def test_fetch_can_skip_missing_documents_and_says_which(path):
    with open_store(path) as store:
        raw = store.fetch(["doc1", "nowhere", "doc2"], arrays=("vector",), missing="skip")
        assert (raw.ids, raw.missing, raw.positions.tolist()) == (("doc1", "doc2"), ("nowhere",), [0, 2])
        assert list(raw.payloads) == ["vector"] and list(store.decode(raw)) == ["vector"]
        assert raw.bytes_read >= sum(map(len, raw.payloads["vector"]))


def test_fetch_then_decode_stacks_documents(path):
    with open_store(path) as store:
        ids = ["doc6", "doc0", "doc13"]
        arrays = store.decode(store.fetch(ids))
        assert arrays["states"].values.shape == (12, 8) and arrays["states"].offsets.tolist() == [0, 6, 6, 12]
        assert arrays["vector"].values.shape == (3, 12)
        np.testing.assert_array_equal(arrays["states"][2], store.get(["doc13"])[0]["states"])


def test_arrays_can_come_as_codes(path):
    with open_store(path) as store:
        raw = store.fetch(["doc6", "doc0", "doc13"])
        coded, decoded = store.decode(raw, coded=("vector", "states")), store.decode(raw)
        assert coded["vector"].values.shape == (3, 12 + 4) and coded["vector"].values.dtype == np.uint8
        codes, scales = coded["vector"].values[:, :12].view(np.int8), coded["vector"].values[:, 12:].copy().view("<f4")
        np.testing.assert_array_equal(codes * scales, decoded["vector"].values)
        np.testing.assert_array_equal(coded["states"].values, decoded["states"].values)
        assert coded["token_ids"].values.dtype == np.int64, "the others are decoded"


def test_fetch_copies_so_nothing_dangles_after_close(path):
    store = open_store(path)
    raw = store.fetch(["doc6"])
    assert all(type(payload) is bytes for payloads in raw.payloads.values() for payload in payloads)
    store.close()
    assert len(raw.payloads["vector"][0]) == 16


def test_rows_needs_no_decoding(path):
    with open_store(path) as store:
        assert store.rows(["doc13", "doc3", "doc13"]).tolist() == [6, 3, 6]


def test_unknown_array_is_an_input_error(path):
    with (
        open_store(path) as store,
        pytest.raises(InputError, match="no array 'sates'; it holds states, token_ids, vector"),
    ):
        store.fetch(["doc1"], arrays=("sates",))


def test_length_membership_and_order_of_ids(path):
    with open_store(path) as store:
        assert len(store) == 200 and "doc7" in store and "doc200" not in store and 7 not in store and "" not in store
        assert list(store.ids()) == [f"doc{number}" for number in range(200)]


def test_info_counts_what_is_there(path):
    with open_store(path) as store:
        info = store.info()
    assert info["documents"] == 200 and info["encoded_by_last_run"] == 200
    assert info["tokens"] == sum(number % 7 for number in range(200))
    assert info["progress"] == {
        "source_position": 200, "source_digest": "digest to 200", "documents": 200, "windows": -(-200 // WINDOW),
    }  # fmt: skip
    assert info["codecs"]["states"] == ["cast(dtype='float16')", "raw", "zstd(checksum=True, level=1)"]
    assert info["bytes"] > 200 * 30 and info["bytes_per_document"] == round(info["bytes"] / 200, 1)


def test_a_closed_store_says_so(path):
    store = open_store(path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        len(store)


def test_a_store_opened_for_reading_does_not_write(path):
    with (
        open_store(path) as store,
        pytest.raises(StoreError, match=r"opened for reading; use open_store\(path, write=True\)"),
    ):
        store.add(entries([500]))


ODD_IDS = [
    "a\nb", "a\0b", "\0", " ", "\u00e9", "e\u0301", "\U0001f600", "../../x", "x" * 511, "x" * 512, "y" * 10_000,
    "\u0663\u200f\u0664", '"', "\ufdfd" * 300, "A", "a",
]  # fmt: skip


def test_any_id_comes_back_as_it_was(tmp_path):
    with build(tmp_path / "s", 0) as store:
        store.append([Entry(doc_id, entry(place).arrays) for place, doc_id in enumerate(ODD_IDS)], len(ODD_IDS), "")
        assert list(store.ids()) == ODD_IDS
        for place, arrays in enumerate(store.get(ODD_IDS)):
            np.testing.assert_array_equal(arrays["token_ids"], entry(place).arrays["token_ids"])


@pytest.mark.parametrize(
    ("doc_id", "message"),
    [("", "0 bytes"), ("a\ud800", "lone surrogate"), (7, "type int"), ("x" * 70_000, "70000 bytes")],
)
def test_ids_that_are_refused(tmp_path, doc_id, message):
    with build(tmp_path / "s", 0) as store:
        with pytest.raises(InputError, match=f"entry 1 .*{message}"):
            store.add([entry(0), Entry(doc_id, entry(1).arrays)])
        assert len(store) == 0


def test_threads_read_while_another_process_appends(tmp_path):
    path = tmp_path / "s"
    build(path, 64).close()
    truth = {f"doc{number}": entry(number).arrays["states"].astype(np.float16).tobytes() for number in range(64)}
    store, wrong, reads = open_store(path), [], []

    def read(seed):
        rng = np.random.default_rng(seed)
        for _ in range(200):
            ids = [f"doc{number}" for number in rng.integers(0, 64, 8)]
            found = [arrays["states"].tobytes() for arrays in store.get(ids)]
            wrong.extend(doc_id for doc_id, data in zip(ids, found, strict=True) if data != truth[doc_id])
            reads.append(len(store))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    run_child("build", path, 320)
    for thread in threads:
        thread.join()
    assert not wrong and len(reads) == 1600
    assert len(store) == 320, "a reader sees what another process committed"
    assert set(reads) <= {64 + WINDOW * windows for windows in range(9)}, "never a part of a window"
    assert contents(store)["doc319"]["token_ids"] == entry(319).arrays["token_ids"].tobytes()
    store.close()
