"""A store folder from somebody else: links, pipes, devices and names that lead out of it are refused, and touch nothing."""

import hashlib
import json
import os
import signal

import pytest

from lateint_store import create_store, open_store, verify_store
from lateint_store.disk.files import read_regular
from lateint_store.errors import DamagedStore, StoreError
from tests.support.stores import ABOUT, build, contents, specs


@pytest.fixture
def path(tmp_path):
    build(tmp_path / "s", 40).close()
    return tmp_path / "s"


@pytest.fixture
def victim(tmp_path):
    file = tmp_path / "victim"
    file.write_bytes(b"precious content of another file\n" * 3)
    before = file.read_bytes()
    yield file
    assert file.read_bytes() == before


@pytest.fixture(autouse=True)
def no_hang():
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


FILES = ["manifest.json", "shard-0000/data.mdb", "shard-0000/lock.mdb", "writer.lock"]
KINDS = {
    "link": lambda file, victim: file.symlink_to(victim),
    "link to nothing": lambda file, victim: file.symlink_to(victim.with_name("nothing")),
    "pipe": lambda file, victim: os.mkfifo(file),
    "device": lambda file, victim: file.symlink_to("/dev/zero"),
    "folder": lambda file, victim: file.mkdir(),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_only_regular_files_are_opened(path, victim, file, kind):
    (path / file).unlink()
    KINDS[kind](path / file, victim)
    with pytest.raises(StoreError, match=r"is a link, pipe, device or folder|Is a directory"):
        open_store(path, write=True)
    with pytest.raises(StoreError):
        create_store(path, specs(), **ABOUT)
    if file != "writer.lock":
        for read in (open_store, verify_store):
            with pytest.raises(StoreError, match="is a link, pipe, device or folder"):
                read(path)
    assert not (victim.with_name("nothing")).exists()


def test_a_shard_folder_that_is_a_link_is_refused(path, tmp_path):
    (path / "shard-0000").rename(tmp_path / "elsewhere")
    (path / "shard-0000").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="shard-0000 is a link"):
        open_store(path)


def test_a_draft_and_leftover_shards_that_are_links_are_removed_not_followed(path, victim, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    for name in ("manifest.json.draft", "shard-0007"):
        (path / name).symlink_to(victim if "draft" in name else tmp_path / "kept")
    os.mkfifo(path / "shard-0008")
    (path / "shard-0abc").mkdir()
    with open_store(path, write=True) as store:
        (path / "manifest.json.draft").symlink_to(victim)
        store.compact()
        assert len(contents(store)) == 40
    assert (tmp_path / "kept/file").exists()
    assert sorted(entry.name for entry in path.iterdir()) == ["manifest.json", "shard-0001", "shard-0abc", "writer.lock"]


@pytest.mark.parametrize(
    "name", ["../other/shard-0000", "/etc", "shard-", "shard-1", "shard-0000/..", "shard-00000", "", 3, None]
)
def test_a_manifest_names_folders_of_its_own_store_alone(path, tmp_path, name):
    build(tmp_path / "other", 40).close()
    data = json.loads((path / "manifest.json").read_text())
    del data["digest"]
    data["shards"][0]["folder"] = name
    text = json.dumps(data, sort_keys=True, indent=1)
    data["digest"] = hashlib.blake2b(text.encode(), digest_size=32).hexdigest()
    (path / "manifest.json").write_text(json.dumps(data, sort_keys=True, indent=1))
    with pytest.raises(DamagedStore, match=r"manifest\.json: shard folder .*; expected a name such as 'shard-0000'"):
        open_store(path)
    assert not verify_store(path).ok


def test_a_manifest_of_gigabytes_is_refused_before_it_takes_memory(path):
    os.truncate(path / "manifest.json", 1 << 40)
    with pytest.raises(DamagedStore, match="more than 67,108,864 bytes"):
        open_store(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_a_caller_names_may_be_a_link_to_a_file_and_nothing_else(tmp_path, victim, kind):
    file = tmp_path / "file"
    KINDS[kind](file, victim)
    if kind == "link":
        assert read_regular(file) == victim.read_bytes()
        return
    with pytest.raises(OSError, match=r"not a file|No such file"):
        read_regular(file)
