import numpy as np
import pytest

from lateint_store import Entry, open_store
from lateint_store.errors import DuplicateDocument, InputError, MissingDocument
from tests.support.stores import build, contents, entries, entry


@pytest.fixture
def store(tmp_path):
    with build(tmp_path / "s", 64) as built:
        yield built


def assert_unchanged(store, action, error, match):
    before = store.content_digest(), store.progress, len(store)
    with pytest.raises(error, match=match):
        action()
    assert (store.content_digest(), store.progress, len(store)) == before
    assert store.verify().ok


def test_an_id_that_is_there_already_changes_nothing(store):
    assert_unchanged(store, lambda: store.append(entries([100, 5]), 66, "x"), DuplicateDocument, "'doc5' is already in store")


def test_an_id_twice_in_one_window_changes_nothing(store):
    assert_unchanged(store, lambda: store.append(entries([100, 100]), 66, "x"), DuplicateDocument, "'doc100' occurs twice")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_the_document_named(store, value):
    bad = entry(101, rows=3)
    bad.arrays["states"][1, 4] = value
    assert_unchanged(
        store,
        lambda: store.append([entry(100), bad], 66, "x"),
        InputError,
        r"'doc101', array 'states': value .* row 1, column 4",
    )


def test_values_that_do_not_fit_the_codec_are_refused_with_the_document_named(store):
    bad = entry(101, rows=2)
    bad.arrays["token_ids"][1] = 70_000
    reason = r"'doc101', array 'token_ids': codec cast\(dtype='uint16'\): value 70000 at row 1"
    assert_unchanged(store, lambda: store.add([bad]), InputError, reason)


@pytest.mark.parametrize(
    ("name", "array", "match"),
    [
        ("states", np.zeros((3, 9), np.float32), r"shape \[3, 9\] where the store expects \[m, 8\]"),
        ("states", np.zeros((3, 8), np.float64), "dtype float64 where the store expects float32"),
        ("states", [[1.0]], "dtype list where the store expects float32"),
        ("vector", np.zeros((1, 12), np.float32), r"shape \[1, 12\] where the store expects \[12\]"),
        ("token_ids", np.zeros(4, np.int64), "different lengths"),
        ("other", np.zeros(4, np.int64), "has arrays other, states, token_ids, vector; the store holds"),
    ],
)
def test_arrays_that_do_not_fit_the_specs_are_refused(store, name, array, match):
    bad = entry(101, rows=3)
    assert_unchanged(store, lambda: store.add([Entry(bad.id, {**bad.arrays, name: array})]), InputError, match)


def test_a_source_position_does_not_go_back(store):
    assert_unchanged(store, lambda: store.append(entries([100]), 63, "x"), InputError, "63 is before 64")


def test_adding_many_checks_all_ids_before_the_first_window(store):
    assert_unchanged(store, lambda: store.add(entries([*range(100, 170), 5])), DuplicateDocument, "'doc5'")
    assert_unchanged(store, lambda: store.add(entries([*range(100, 170), 100])), DuplicateDocument, "'doc100'")


def test_add_leaves_the_source_position(store):
    store.add(entries(range(200, 270)))
    assert (store.progress.source_position, len(store)) == (64, 134)
    assert list(store.ids())[64:] == [f"doc{number}" for number in range(200, 270)]
    assert store.verify().ok


def test_deleted_documents_are_gone_and_the_others_stay(store):
    truth = contents(store)
    store.delete(["doc0", "doc31", "doc32", "doc33", "doc63", "doc31"])
    gone = {"doc0", "doc31", "doc32", "doc33", "doc63"}
    assert contents(store) == {doc_id: arrays for doc_id, arrays in truth.items() if doc_id not in gone}
    assert len(store) == 59 and "doc31" not in store
    assert store.info()["tokens"] == sum(number % 7 for number in range(64) if f"doc{number}" not in gone)
    assert store.verify().ok


def test_deleting_an_unknown_document_changes_nothing(store):
    assert_unchanged(store, lambda: store.delete(["doc1", "doc900"]), MissingDocument, "'doc900'")


@pytest.mark.parametrize(("passes", "deleted", "compacted"), [(1, 0, False), (2, 2, False), (3, 2, True), (4, 4, False)])
def test_a_deletion_that_was_interrupted_between_shards_is_completed_by_the_same_call(
    tmp_path, monkeypatch, passes, deleted, compacted
):
    class Interrupted(BaseException):
        pass

    def passing(name, seen=[]):
        seen.append(name)
        if len(seen) == passes:
            raise Interrupted

    gone = ["doc3", "doc40", "doc140", "doc141"]
    with build(tmp_path / "s", 150, documents_per_shard=64) as store:
        with monkeypatch.context() as patched, pytest.raises(Interrupted):
            patched.setattr("lateint_store.writing.removing.point", passing)
            store.delete(gone)
        assert len(store) == 150 - deleted and store.verify().ok
        if compacted:
            store.compact()
        if passes > 1:
            with pytest.raises(MissingDocument):
                store.delete(gone[:3])
        store.delete([*gone[::-1], gone[0]])
        assert len(store) == 146 and not {*gone} & {*store.ids()} and store.verify().ok
        with pytest.raises(MissingDocument):
            store.delete(gone)


def test_a_deleted_id_may_be_added_again(store):
    store.delete(["doc5"])
    store.add([Entry("doc5", entry(6).arrays)])
    assert store.get(["doc5"])[0]["token_ids"].tolist() == entry(6).arrays["token_ids"].tolist()
    assert list(store.ids())[-1] == "doc5" and store.verify().ok


def test_the_digest_after_any_deletes_is_that_of_a_store_without_these_documents(tmp_path):
    rng = np.random.default_rng(7)
    with build(tmp_path / "s", 0, documents_per_shard=20) as store:
        numbers = list(range(60))
        for start in range(0, 60, 12):
            store.append(entries(numbers[start : start + 12]), start + 12, "")
        for count in (1, 3, 7, 20, 28):
            doomed = sorted(rng.choice(numbers, count, replace=False).tolist())
            store.delete([f"doc{number}" for number in doomed])
            numbers = [number for number in numbers if number not in doomed]
            assert store.verify().ok
            with build(tmp_path / f"without{count}", 0) as other:
                other.add(entries(numbers))
                assert store.content_digest() == other.content_digest(), f"after {count} more deletes"


def test_the_digest_depends_on_order_ids_and_values(tmp_path):
    variants = {
        "as is": entries([1, 2, 3]),
        "order": entries([2, 1, 3]),
        "id": [*entries([1, 2]), Entry("else", entry(3).arrays)],
        "value": [*entries([1, 2]), Entry("doc3", entry(10).arrays)],
    }
    digests = set()
    for name, documents in variants.items():
        with build(tmp_path / name, 0) as store:
            store.add(documents)
            digests.add(store.content_digest())
    assert len(digests) == 4


def test_shards_roll_and_everything_works_across_them(tmp_path):
    with build(tmp_path / "one", 200) as one, build(tmp_path / "many", 200, documents_per_shard=64) as many:
        assert len(many.manifest.shards) == 4
        assert many.content_digest() == one.content_digest() and contents(many) == contents(one)
        assert many.rows(["doc199", "doc0", "doc64"]).tolist() == [199 % 7, 0, 64 % 7]
        with pytest.raises(DuplicateDocument):
            many.add(entries([3]))
        for store in (one, many):
            store.delete(["doc63", "doc64", "doc199"])
        assert many.content_digest() == one.content_digest() and many.verify().ok
    with open_store(tmp_path / "many") as store:
        assert len(store) == 197
