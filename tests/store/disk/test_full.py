"""A full disk or map raises a typed error; no committed document is lost, and the same command finishes later."""

import json
import subprocess

import pytest

from lateint_store import create_store, open_store
from lateint_store.errors import StoreFull
from tests.support.stores import ABOUT, WINDOW, build, fill, run_child, specs


def test_a_full_map_is_store_full_and_keeps_what_was_committed(tmp_path):
    with create_store(tmp_path / "s", specs(), **ABOUT, window=WINDOW, map_size=1 << 17) as store:
        with pytest.raises(StoreFull, match=r"map .* is full"):
            fill(store, 2000)
        kept = store.progress.source_position
        assert 0 < kept == len(store) and store.verify().ok


def test_a_full_file_system_is_store_full_and_the_build_finishes_when_space_is_freed(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True)
    if mount.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(200_000))
        with create_store(disk / "s", specs(), **ABOUT, window=WINDOW) as store:
            with pytest.raises(StoreFull, match="free some space"):
                fill(store, 800)
            kept = store.progress.source_position
            assert 0 < kept == len(store) and store.verify().ok
            with pytest.raises(StoreFull):
                store.compact()
            assert len(store) == kept and store.verify().ok
            ballast.unlink()
            fill(store, kept + WINDOW)
            assert len(store) == kept + WINDOW
        with build(disk / "s", 800) as store, build(tmp_path / "once", 800) as once:
            assert store.content_digest() == once.content_digest() and store.verify().ok
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("limit", [40_000, 70_000, 100_000])
def test_a_full_disk_is_store_full_and_the_build_finishes_later(tmp_path, limit):
    found = json.loads(run_child("build_limited", tmp_path / "s", 800, limit).stdout)
    assert found["error"] == "StoreFull" and "was committed is intact" in found["message"]
    with open_store(tmp_path / "s") as store:
        assert store.verify().ok and len(store) == store.progress.source_position < 800
    with build(tmp_path / "s", 800) as store, build(tmp_path / "once", 800) as once:
        assert store.content_digest() == once.content_digest() and store.verify().ok
    assert issubclass(StoreFull, OSError)
