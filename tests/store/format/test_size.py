"""Disk space as the file system allocates it (`st_blocks`), for everything in the folder."""

import os

import numpy as np
import pytest

from lateint_store import ArraySpec, Entry, Pipeline, create_store
from lateint_store.disk.files import allocated_bytes
from tests.support.stores import ABOUT


@pytest.mark.parametrize(("payload", "documents", "limit"), [(500, 20_000, 1.25), (4_096, 8_000, 1.10)])
def test_bytes_on_disk_against_encoded_arrays(tmp_path, payload, documents, limit):
    specs = {"states": Pipeline(ArraySpec("uint8", 4)), "vector": Pipeline(ArraySpec("uint8", 100, "one"))}
    rng = np.random.default_rng(0)
    with create_store(tmp_path / "s", specs, **ABOUT) as store:
        encoded = 0
        for start in range(0, documents, 512):
            entries = []
            for number in range(start, min(start + 512, documents)):
                rows = int((payload - 100) // 4 * rng.uniform(0.5, 1.5))
                states = np.full((rows, 4), number % 251, np.uint8)
                entries.append(Entry(f"D{number:09d}", {"states": states, "vector": states.ravel()[:100]}))
                encoded += rows * 4 + 100
            store.append(entries, start + len(entries), "")
        assert store.info()["bytes"] <= limit * encoded, store.info()["bytes"] / encoded
        store.seal()
        assert store.info()["bytes"] <= (limit - 0.02) * encoded, store.info()["bytes"] / encoded


def test_equal_files_take_equal_bytes_however_scattered_they_lie(tmp_path):
    pages = 64
    for name, orders in {"whole": [range(pages)], "scattered": [range(0, pages, 2), range(1, pages, 2)]}.items():
        (tmp_path / name).mkdir()
        with (tmp_path / name / "file").open("wb", buffering=0) as file:
            for order in orders:
                for page in order:  # synced one by one, so that the file system places them apart
                    os.pwrite(file.fileno(), b"x" * 4096, page * 4096)
                    os.fsync(file.fileno())
    taken = allocated_bytes(tmp_path / "whole")
    assert taken == allocated_bytes(tmp_path / "scattered")
    assert taken == (tmp_path / "whole").stat().st_blocks * 512 + pages * 4096


def test_holes_are_not_counted(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        file.seek(1 << 24)
        file.write(b"end")
    assert allocated_bytes(tmp_path) < 1 << 17
