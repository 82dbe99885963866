import pytest

from lateint_store import create_store, merge
from lateint_store.errors import DuplicateDocument, InputError, StoreError, StoreMismatch
from tests.support.stores import ABOUT, WINDOW, build, contents, entries, specs

DOCUMENTS = 230


@pytest.fixture
def parts(tmp_path):
    folders = [tmp_path / f"part{number}" for number in range(3)]
    for number, folder in enumerate(folders):
        build(folder, DOCUMENTS, shard=(number, 3)).close()
    return folders


def test_merged_shards_equal_one_build(tmp_path, parts):
    with build(tmp_path / "once", DOCUMENTS) as once, merge(parts[::-1], tmp_path / "out") as merged:
        assert merged.content_digest() == once.content_digest() and contents(merged) == contents(once)
        assert merged.progress == once.progress and merged.manifest.shard is None
        assert merged.verify().ok and merged.manifest.uuid != once.manifest.uuid
    with build(tmp_path / "out", DOCUMENTS + 50) as longer, build(tmp_path / "longer", DOCUMENTS + 50) as once:
        assert longer.info()["encoded_by_last_run"] == 50
        assert set(longer.ids()) == set(once.ids())


def test_shards_that_were_compacted_sealed_and_pruned_still_merge_in_order(tmp_path, parts):
    from lateint_store import open_store

    with open_store(parts[0], write=True) as store:
        store.delete(["doc3", "doc100"])
        store.compact()
    with open_store(parts[1], write=True) as store:
        store.seal()
    with build(tmp_path / "once", DOCUMENTS) as once, merge(parts, tmp_path / "out") as merged:
        once.delete(["doc3", "doc100"])
        assert merged.content_digest() == once.content_digest() and merged.verify().ok


def test_a_missing_shard_is_named(tmp_path, parts):
    with pytest.raises(StoreError, match="0/3 to 2/3 once, got 0/3, 2/3"):
        merge([parts[0], parts[2]], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unfinished_shard_is_refused(tmp_path, parts):
    build(tmp_path / "short", WINDOW * 2, shard=(2, 3)).close()
    with pytest.raises(StoreError, match=r"64 .*one is not finished"):
        merge([*parts[:2], tmp_path / "short"], tmp_path / "out")


def test_a_shard_of_another_model_is_refused(tmp_path, parts):
    build(tmp_path / "other", DOCUMENTS, shard=(2, 3), fingerprint={"weights": "other"}).close()
    with pytest.raises(StoreMismatch, match="weights"):
        merge([*parts[:2], tmp_path / "other"], tmp_path / "out")


def test_a_shard_of_an_earlier_version_is_named_with_what_to_do(tmp_path, parts):
    more = ABOUT | {"fingerprint": ABOUT["fingerprint"] | {"token_rules": "12ab", "states.configuration": "34cd"}}
    with create_store(tmp_path / "new", specs(), **more, window=WINDOW, shard=(1, 3)):
        pass
    advice = (
        rf"{parts[0]} was begun by an earlier version, which did not record states.configuration, token_rules; .*"
        "Index this shard again into another folder"
    )
    for given in ([parts[0], tmp_path / "new", parts[2]], [tmp_path / "new", parts[0], parts[2]]):
        with pytest.raises(StoreMismatch, match=advice):
            merge(given, tmp_path / "out")
    other = more | {"fingerprint": more["fingerprint"] | {"weights": "other"}}
    with create_store(tmp_path / "other", specs(), **other, window=WINDOW, shard=(1, 3)):
        pass
    with pytest.raises(StoreMismatch, match=r"weights .* there, other here"):
        merge([parts[0], tmp_path / "other", parts[2]], tmp_path / "out")


def test_a_store_that_is_no_shard_is_refused(tmp_path, parts):
    build(tmp_path / "whole", 10).close()
    with pytest.raises(StoreError, match="no shard of a build"):
        merge([tmp_path / "whole"], tmp_path / "out")
    with pytest.raises(InputError):
        merge([], tmp_path / "out")


def test_an_id_in_two_shards_is_named(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for number, folder in enumerate(folders):
        with create_store(folder, specs(), **ABOUT, window=2, shard=(number, 2)) as store:
            store.append(entries([number * 5, 7]), 4, "same")
    with pytest.raises(DuplicateDocument, match=r"'doc7' is in store .*a and in .*b"):
        merge(folders, tmp_path / "out")


def test_merging_into_an_existing_store_is_refused(tmp_path, parts):
    build(tmp_path / "out", 3).close()
    with pytest.raises(StoreError):
        merge(parts, tmp_path / "out")
