import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from lateint_store import create_store, open_store
from lateint_store.errors import InputError, SealedStore, StoreError, StoreLocked, StoreMismatch, StoreNotFound
from tests.support.stores import ABOUT, WINDOW, build, contents, fill, run_child, specs


def make(path, **changes):
    return create_store(path, changes.pop("specs", specs()), **(ABOUT | {"window": WINDOW} | changes))


def test_an_unfinished_store_is_continued(tmp_path):
    build(tmp_path / "s", 64).close()
    with make(tmp_path / "s") as store:
        assert store.progress.source_position == 64 and store.progress.source_digest == "digest to 64"
        assert store.info()["encoded_by_last_run"] == 0
        fill(store, 100)
        assert store.info()["encoded_by_last_run"] == 36
    with build(tmp_path / "once", 100) as once, open_store(tmp_path / "s") as store:
        assert store.content_digest() == once.content_digest() and contents(store) == contents(once)


def test_a_finished_store_is_opened_and_nothing_is_encoded(tmp_path):
    build(tmp_path / "s", 40).close()
    with build(tmp_path / "s", 40) as store:
        assert store.info()["encoded_by_last_run"] == 0 and len(store) == 40


def test_a_sealed_store_of_the_same_identity_is_opened_for_reading(tmp_path):
    with build(tmp_path / "s", 40) as store:
        store.seal()
    with make(tmp_path / "s") as store:
        assert store.sealed and len(store) == 40
        with pytest.raises(SealedStore):
            store.append([], 40, "")
    with pytest.raises(SealedStore):
        open_store(tmp_path / "s", write=True)


def test_another_fingerprint_is_a_mismatch_that_names_both(tmp_path):
    make(tmp_path / "s").close()
    with pytest.raises(StoreMismatch, match="model toy there, other here; weights abababababab there, cdcdcdcdcdcd here"):
        make(tmp_path / "s", fingerprint={"weights": "cd" * 32}, model={"name": "other"})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"window": 64}, "window 32 there, 64 here"),
        ({"shard": (0, 2)}, "shard None there"),
        ({"specs": specs("vector=int4")}, "codecs"),
    ],
)
def test_other_codecs_window_or_shard_are_refused(tmp_path, changes, named):
    make(tmp_path / "s").close()
    with pytest.raises(StoreError, match=named):
        make(tmp_path / "s", **changes)


def test_another_model_name_or_head_over_the_same_states_is_welcome(tmp_path):
    make(tmp_path / "s").close()
    with make(tmp_path / "s", model={"name": "moved"}, head={"name": "other"}) as store:
        assert store.info()["head"] == {"name": "none"}


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(StoreError, match=r"not empty and not a new store \(it contains 'mine.txt'\)"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_no_store_is_not_found(tmp_path):
    with pytest.raises(StoreNotFound, match=r"manifest\.json does not exist"):
        open_store(tmp_path / "nothing")
    assert issubclass(StoreNotFound, FileNotFoundError)


@pytest.mark.parametrize(
    "changes",
    [
        {"window": 0},
        {"shard": (2, 2)},
        {"specs": {}},
        {"model": {"x": object()}},
        {"map_size": -1},
        {"canary": {"x": float("nan")}},
    ],
)
def test_impossible_settings_are_input_errors(tmp_path, changes):
    with pytest.raises(InputError):
        make(tmp_path / "s", **changes)


def test_a_misspelt_setting_is_a_type_error(tmp_path):
    with pytest.raises(TypeError, match="windows"):
        make(tmp_path / "s", windows=3)


def test_a_second_writer_is_told_who_writes(tmp_path):
    with build(tmp_path / "s", 10):
        with pytest.raises(StoreLocked, match=r"is being written by process \d+.*this process.*close\(\)"):
            open_store(tmp_path / "s", write=True)
        refused = json.loads(run_child("write", tmp_path / "s").stdout)
        assert refused["error"] == "StoreLocked" and "this process" not in refused.get("message", "")
        assert json.loads(run_child("read", tmp_path / "s").stdout)["documents"] == 10
    assert json.loads(run_child("write", tmp_path / "s").stdout)["documents"] == 10


def test_a_store_moves(tmp_path):
    with build(tmp_path / "s", 40) as store:
        digest = store.content_digest()
    shutil.move(tmp_path / "s", tmp_path / "else where")
    with open_store(tmp_path / "else where", write=True) as store:
        assert store.content_digest() == digest and store.verify().ok
        store.seal()
    shutil.copytree(tmp_path / "else where", tmp_path / "copy")
    with open_store(tmp_path / "copy") as store:
        assert store.content_digest() == digest and len(contents(store)) == 40


def test_relative_paths_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build("s", 5).close()
    with open_store("s") as store:
        assert len(store) == 5


@pytest.fixture
def foreign():
    """A folder that the reader may read but not write: files of root, or our own made read-only."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder / "s"
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


def read_as_stranger(path):
    if os.geteuid() != 0:
        for entry in (path, *path.rglob("*")):
            entry.chmod(0o555)
    return json.loads(run_child("read_as_nobody", path).stdout)


def test_without_write_permission_an_unsealed_store_says_seal_it(foreign):
    build(foreign, 10).close()
    found = read_as_stranger(foreign)
    assert found["error"] == "StoreError" and "seal the store to serve it read-only" in found["message"]


def test_without_write_permission_a_sealed_store_is_served(foreign):
    with build(foreign, 10) as store:
        store.seal()
    assert read_as_stranger(foreign)["ids"] == 10


def test_a_small_address_space_is_enough_to_read_and_to_seal(tmp_path):
    with build(tmp_path / "s", 10) as store:
        assert json.loads(run_child("read_small_address_space", tmp_path / "s").stdout)["documents"] == 10
        digest = store.content_digest()
    assert json.loads(run_child("seal_small_address_space", tmp_path / "s").stdout)["digest"] == digest
    assert json.loads(run_child("read_small_address_space", tmp_path / "s").stdout)["documents"] == 10


def test_a_map_beyond_the_address_space_is_a_clear_error_for_writers_alone(tmp_path):
    build(tmp_path / "s", 10, map_size=1 << 45).close()
    found = json.loads(run_child("seal_small_address_space", tmp_path / "s").stdout)
    assert found["error"] == "StoreError" and "a smaller map_size than 35184372088832 bytes" in found["message"]
    assert json.loads(run_child("read_small_address_space", tmp_path / "s").stdout)["documents"] == 10
