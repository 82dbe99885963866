import numpy as np

from lateint_store import open_store
from lateint_store.format.index import add_digests, entries_digest, entry_ordinal, entry_ordinals, make_entry
from tests.support.stores import build, entries, entry


def test_an_entry_holds_prefix_and_ordinal():
    made = make_entry(b"doc", (1 << 40) - 1)
    assert len(made) == 12 and entry_ordinal(made) == (1 << 40) - 1
    assert entry_ordinals(make_entry(b"a", 7) + make_entry(b"b", 3)).tolist() == [3, 7]


def test_the_digest_is_a_sum_over_entries():
    made = [make_entry(str(number).encode(), number) for number in range(100)]
    whole = entries_digest(b"".join(made))
    assert (
        whole
        == entries_digest(b"".join(reversed(made)))
        == add_digests(entries_digest(b"".join(made[:40])), entries_digest(b"".join(made[40:])))
    )
    assert add_digests(whole, entries_digest(b"".join(made[40:])), -1) == entries_digest(b"".join(made[:40]))
    assert entries_digest(b"") == 0


def test_every_flipped_bit_changes_the_digest():
    data = make_entry(b"a", 1) + make_entry(b"b", 2)
    digests = {entries_digest(data)}
    for bit in range(len(data) * 8):
        altered = bytearray(data)
        altered[bit // 8] ^= 1 << bit % 8
        digests.add(entries_digest(bytes(altered)))
    assert len(digests) == len(data) * 8 + 1


def test_ids_whose_digests_begin_alike_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("lateint_store.format.index.id_prefix", lambda doc_id: bytes(7))
    monkeypatch.setattr("lateint_store.shards.snapshot.id_prefix", lambda doc_id: bytes(7))
    with build(tmp_path / "s", 40) as store:
        for number in (0, 17, 39):
            np.testing.assert_array_equal(store.get([f"doc{number}"])[0]["token_ids"], entry(number).arrays["token_ids"])
        assert "doc40" not in store
        store.delete(["doc0", "doc17"])
        assert "doc17" not in store and "doc18" in store and len(store) == 38
        store.add(entries([17]))
        assert store.verify().ok
    with open_store(tmp_path / "s") as store:
        assert store.rows(["doc39", "doc17"]).tolist() == [39 % 7, 17 % 7]
